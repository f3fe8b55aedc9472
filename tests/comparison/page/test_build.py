import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from unrolled.comparison.page.build import build_sections, embedded, library, page
from unrolled.comparison.report import compare

Make = Callable[..., Any]


def test_the_answer_comes_first_and_every_section_that_has_something(
    full_study: Path, parsed: Make
) -> None:
    comparison, written = compare([full_study])
    path = full_study / "comparison" / "report.html"
    assert path in written.files
    shown = parsed(path.read_text(encoding="utf-8"))
    assert shown.sections == [
        "table", "quality", "curves", "costs", "details", "expected", "searches", "profile",
        "figures", "diagnostics", "samples", "left_out", "repeat",
    ]  # fmt: skip
    assert shown.text.index(comparison.answer) < shown.text.index("It rests on 6 finished runs")
    for note in comparison.notes:
        assert note.text in shown.text
    for column in comparison.columns:
        assert column.heading in shown.text
        for row in comparison.lines:
            assert all(part in shown.text for part in column.cell(row))


def test_a_section_that_has_nothing_to_show_is_left_out(
    make_run: Make, analysed: Make, parsed: Make
) -> None:
    make_run("lstm", 1, history=[])
    shown = parsed(page(analysed()))
    assert shown.sections == ["table", "quality", "details", "repeat"]
    assert "there is nothing to compare it with" in shown.text


@pytest.mark.slow
def test_every_chart_is_a_specification_that_vega_draws(
    full_study: Path, analysed: Make, parsed: Make
) -> None:
    payload = parsed(page(analysed())).payload
    assert len(payload["charts"]) > 12
    for spec in payload["charts"]:
        drawn = vl_convert.vegalite_to_svg(
            {**spec, "width": 400, "datasets": payload["data"]}, show_warnings=False
        )
        # Marks, and not an empty frame.
        assert re.search(r'<path[^>]*d="M[^"]+"', drawn)
        assert "NaN" not in drawn
        assert "undefined" not in drawn


def test_it_opens_offline_and_loads_nothing(
    full_study: Path, analysed: Make, parsed: Make
) -> None:
    shown = parsed(page(analysed()))
    addresses = [a.get("src") or a.get("href") for _, a in shown.tags if "src" in a or "href" in a]
    assert addresses
    assert all(str(address).startswith("#") for address in addresses)
    policies = [a["content"] for tag, a in shown.tags if a.get("http-equiv")]
    assert policies[0].startswith("default-src 'none'")
    assert "http" not in policies[0]


def test_it_stays_small(full_study: Path, analysed: Make) -> None:
    assert len(library()) < len(page(analysed()).encode()) < 1_400_000


def test_it_is_the_same_each_time(full_study: Path, analysed: Make) -> None:
    assert page(analysed()) == page(analysed())


def test_json_in_a_script_cannot_end_it() -> None:
    value = {"<!--": "</script><script>alert(1)</script>\u2028&", "number": [float("nan"), 1.5]}
    text = embedded(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {**value, "number": [None, 1.5]}


def test_a_script_in_a_name_or_in_the_corpus_is_text(
    make_run: Make, analysed: Make, parsed: Make, tmp_path: Path
) -> None:
    bad = "</script><script>document.title='owned'</script>"
    image = '"><img src=x onerror="document.title=1">'
    for seed in (1, 2):
        for cell in (f"lstm{bad}", image):
            folder = make_run(
                cell, seed, 5.0 + seed, name=f"r{len(cell)}{seed}{bad}",
                data={"name": bad, "fingerprint": image, "sizes": {bad: {image: 1}}},
                environment={bad: image, "packages": {image: bad}},
                figures={
                    bad: {
                        "kind": "Matrix", "rows": [bad, image], "columns": [bad, image],
                        "values": [[1, 2], [3, 4]], "row_title": bad, "column_title": image,
                    }
                },
                folder=f"{len(cell)}-{seed}",
            )  # fmt: skip
            (folder / "samples.txt").write_text(f"--- step 1\n{bad}\x1b[2J{{{{ 7 * 7 }}}}\n")
    study = tmp_path / "study"
    (study / "sweep.json").write_text(json.dumps({"command": f"unrolled {bad}{image}"}))
    text = page(analysed())
    shown = parsed(text)
    tags = [tag for tag, _ in shown.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)
    assert bad in shown.text
    assert image in shown.text
    assert bad not in text
    assert "{{ 7 * 7 }}" in shown.text
    assert "\\x1b[2J" in shown.text
    # In the charts' data, too, it is a string like any other.
    assert f"lstm{bad}" in json.dumps(shown.payload)


def test_numbers_on_the_page_are_those_of_the_comparison(full_study: Path, analysed: Make) -> None:
    comparison = analysed()
    sections = {section.name: section for section in build_sections(comparison)}
    (table,) = sections["table"].tables
    metric = [column.name for column in comparison.columns].index(comparison.metric)
    assert [line[metric].order for line in table.body] == [r.value.mean for r in comparison.rows]
    dots = sections["quality"].charts[0].spec["layer"][2]["data"]["values"]
    assert sorted(dot["value"] for dot in dots) == sorted(
        value for row in comparison.rows for value in row.by_replicate.values()
    )


def test_rows_beyond_the_legend_are_in_the_table_only(make_run: Make, analysed: Make) -> None:
    for number in range(30):
        make_run(f"cell{number:02}", 1, 5.0 + number)
    sections = {section.name: section for section in build_sections(analysed())}
    assert len(sections["table"].tables[0].body) == 30
    assert len({point["row"] for point in sections["curves"].data["curves"]}) == 24
    assert "The best 24 of 30 rows" in sections["curves"].intro

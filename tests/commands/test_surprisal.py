import csv
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from unrolled.cli import main
from unrolled.commands.evaluate import evaluate
from unrolled.config.compose import compose_run
from unrolled.tasks.language_modeling import surprisal
from unrolled.training.run import run

Printed = pytest.CaptureFixture[str]
TEXT = "the cat sat on a mat and saw two.\nmat mat xylophone mat.\n"


def said(capsys: Printed, *arguments: object) -> str:
    assert main(["surprisal", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def rows_of(capsys: Printed, *arguments: object) -> list[dict[str, str]]:
    said(capsys, *arguments, "--csv", "out.csv")
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def loss_of(folder: Path, text: str) -> float:
    """What evaluate says of the text."""
    splits = Path("splits")
    splits.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        (splits / f"{split}.txt").write_text(text, encoding="utf-8")
    overrides = ["dataset=splits", f"dataset.path={splits}"]
    return evaluate(folder, overrides, splits=["test"]).metrics["test/loss"]


def test_the_mean_is_the_loss_of_an_evaluation(
    trained: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surprisal, "CHUNK", 7)
    Path("text.txt").write_text(TEXT)
    rows = rows_of(capsys, trained, "--file", "text.txt")
    assert "".join(row["token"] for row in rows) == TEXT.replace("x", "<unk>").replace(
        "p", "<unk>"
    ).replace("y", "<unk>")
    mean = sum(float(row["bits"]) for row in rows) / len(rows)
    assert mean * math.log(2) == pytest.approx(loss_of(trained, TEXT), rel=1e-5)


def test_words_and_the_ends_of_lines_are_tokens(
    configure: Callable[..., DictConfig], capsys: Printed
) -> None:
    folder = run(configure("tokenizer=word", "logger=none")).folder
    assert folder is not None
    text = "the cat sat\non a zebra"
    rows = rows_of(capsys, folder, "--text", text)
    assert [row["token"] for row in rows] == [
        *("the", " cat", " sat", "\n", "on", " a", " <unk>", "\n"),
    ]
    assert [row["line"] for row in rows] == [*"11112222"]
    mean = sum(float(row["bits"]) for row in rows) / len(rows)
    assert mean * math.log(2) == pytest.approx(loss_of(folder, text), rel=1e-5)
    printed = said(capsys, folder, "--text", text)
    assert "8 tokens, 22 characters: bits per token" in printed
    assert "1 tokens (12 %) stand for what the model never saw" in printed


def test_the_summary_is_that_of_the_tokens(trained: Path, capsys: Printed) -> None:
    rows = rows_of(capsys, trained, "--text", "the cat")
    printed = said(capsys, trained, "--text", "the cat")
    mean = sum(float(row["bits"]) for row in rows) / 7
    assert f"bits per token {mean:.3f}, bits per character {mean:.3f}" in printed
    assert f"perplexity {2**mean:.3f}" in printed
    # Not a terminal: each token with its number.
    assert len(re.findall(r"^ +1 +\d+\.\d\d +\d+ [ *]'.'$", printed, re.MULTILINE)) == 7
    assert "\x1b" not in printed


def test_a_strange_line_is_found_and_usual_ones_are_not(trained: Path, capsys: Printed) -> None:
    usual = "the cat sat on a mat and saw.\n"
    text = usual * 5 + "tttt nnnn gggg wwww\n" + usual
    printed = said(capsys, trained, "--text", text, "--lines", 3, "--flag", 0.05)
    assert re.search(r"as at most 5 % of the first 1,\d+ characters of the validation", printed)
    assert "1 of 7 lines (above" in printed
    # Too few lines to say of one that it is among the rarest 1 %.
    assert "0 of 7 lines (too little text to tell)" in said(capsys, trained, "--text", text)
    first = printed.partition("the most surprising lines\n")[2].splitlines()
    assert len(first) == 3
    assert first[0].split()[0] == "6"
    assert first[0].endswith("tttt nnnn gggg wwww")


def test_without_the_data_the_text_says_what_is_usual(
    trained: Path, capsys: Printed, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    record = json.loads((copy / "record.json").read_text())
    record["config"]["dataset"]["path"] = "absent.txt"
    (copy / "record.json").write_text(json.dumps(record))
    printed = said(capsys, copy, "--text", TEXT)
    assert "the text itself says what is usual in it: dataset.path=absent.txt" in printed
    assert "of this text itself" in printed
    other = tmp_path / "other.txt"
    other.write_text(TEXT * 20)
    record["config"]["dataset"]["path"] = str(other)
    (copy / "record.json").write_text(json.dumps(record))
    assert "it has changed since the run was trained" in said(capsys, copy, "--text", TEXT)
    assert "of this text itself" in said(capsys, trained, "--text", TEXT, "--usual", "text")


def test_a_terminal_gets_shades_and_as_text_what_it_would_obey(
    trained: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    Path("raw.txt").write_text("the cat\x1b[2J\n")
    coloured = said(capsys, trained, "--file", "raw.txt", "--usual", "text")
    assert len(set(re.findall(r"48;2;\d+;\d+;\d+", coloured))) > 2
    assert "\x1b[2J" not in coloured
    for plain in (["--no-color"], []):
        if not plain:
            monkeypatch.setenv("NO_COLOR", "1")
        printed = said(capsys, trained, "--file", "raw.txt", "--usual", "text", *plain)
        assert "48;2" not in printed
        assert "'t'" in printed


HOSTILE = (
    """</pre></span><script>alert(1)</script>" onmouseover="alert(2) '<img src=x>\n&amp; the"""
)


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and the text of its <pre>."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.titles: list[str] = []
        self.text = ""
        self.inside = self.aside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.titles += [value or "" for name, value in attrs if name == "title"]
        self.inside |= tag == "pre"
        self.aside = tag == "i"

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "pre"
        self.aside &= tag != "i"

    def handle_data(self, data: str) -> None:
        if self.inside and not self.aside:
            self.text += data


@pytest.fixture
def byte_run(configure: Callable[..., DictConfig]) -> Path:
    folder = run(configure("tokenizer=byte", "logger=none", "trainer.max_steps=10")).folder
    assert folder is not None
    return folder


def test_no_text_breaks_out_of_the_page(byte_run: Path, capsys: Printed) -> None:
    hostile = HOSTILE + "\x1b[2J\u202e"
    printed = said(capsys, byte_run, byte_run, "--text", hostile, "--html", "<b>.html")
    page = Path("<b>.html").read_text(encoding="utf-8")
    found = Parsed(page)
    assert found.tags <= {
        *("html", "meta", "title", "style", "h1", "h2", "p", "pre", "span", "i"),
        *("table", "tr", "th", "td", "a"),
    }
    assert found.attributes <= {
        *("lang", "charset", "http-equiv", "content", "class", "title", "id", "href")
    }
    assert "default-src 'none'" in page
    assert "://" not in page
    assert HOSTILE in found.text
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert re.fullmatch(r"“<” \d+\.\d\d bits, rank \d+(\n“.+” \d+\.\d %){5}", found.titles[0])
    # The listing is the page's then; what is printed is the summary.
    assert "rank" not in printed
    assert printed.count("bits per token") == 2


def test_parts_of_a_character_are_tokens_too(byte_run: Path, capsys: Printed) -> None:
    rows = rows_of(capsys, byte_run, "--text", "é\n")
    assert [row["token"] for row in rows] == ["", "é", "\n"]


def test_several_runs_read_a_text_from_standard_input(
    trained: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n")))
    rows = rows_of(capsys, trained, trained, "--file", "-")
    assert len(rows) == 16
    assert rows[:8] == rows[8:]
    assert {row["run"] for row in rows} == {trained.name}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", ""], "the text: empty"),
        (["--file", "absent"], "absent: cannot be read"),
        (["--text", "a", "--flag", "0"], "--flag 0: must be above 0 and below 1"),
        (["--text", "a", "--flag", "nan"], "--flag nan: must be above 0"),
        (["--text", "a", "--lines", "-1"], "--lines -1: must be at least 0"),
        (["--text", "a", "--html", "."], "a folder, and the name of a file is needed"),
    ],
)
def test_wrong_values(trained: Path, options: list[str], message: str, capsys: Printed) -> None:
    assert main(["surprisal", str(trained), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_task_that_writes_no_text_is_named(
    trained: Path, tmp_path: Path, capsys: Printed
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    record = json.loads((copy / "record.json").read_text())
    parity = compose_run(["task=parity", "dataset=none", "tokenizer=none"]).task
    record["config"]["task"] = OmegaConf.to_container(parity)
    (copy / "record.json").write_text(json.dumps(record))
    for command in (["surprisal", "--text", "a"], ["generate", "--prompts", "absent"]):
        Path("absent").write_text("a")
        assert main([command[0], str(copy), *command[1:]]) == 2
        assert "task=parity writes no text" in capsys.readouterr().err

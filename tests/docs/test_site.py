"""The site: built strictly, complete, and open without a network; and the hooks that make it."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.parent for path in (ROOT / "experiments").glob("*/README.md"))


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loaded(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in {"script", "img", "iframe"} and given.get("src"):
            self.addresses.append(str(given["src"]))
        if tag == "link" and given.get("rel") in {"stylesheet", "preconnect", "icon"}:
            self.addresses.append(str(given["href"]))


@pytest.mark.slow
def test_the_site_is_built_strictly_and_opens_offline(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = sorted(site.rglob("*.html"))
    for study in STUDIES:
        assert site / "gallery" / study.name / "index.html" in pages
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.addresses
        assert not [one for one in loaded.addresses if re.match(r"(https?:)?//", one)], page
    interface = (site / "reference" / "interface.html").read_text(encoding="utf-8")
    assert '<span class="gp">&gt;&gt;&gt; ' in interface
    assert "<blockquote" not in interface
    assert not (site / "hooks").exists()


def test_the_gallery_shows_what_the_records_hold(tmp_path: Path) -> None:
    gallery = hook("gallery")
    study = tmp_path / "co2"
    shutil.copytree(ROOT / "experiments" / "co2", study)
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    results["groups"][0]["validation/mase"]["mean"] = 0.12345
    results["answer"] = "Another answer."
    (study / "results.json").write_text(json.dumps(results), encoding="utf-8")
    pages = gallery.pages(tmp_path)
    assert set(pages) == {"gallery/index.md", "gallery/co2/index.md"}
    assert f"| `{results['groups'][0]['label']}` | 0.1235 [" in pages["gallery/index.md"]
    assert "> Another answer." in pages["gallery/index.md"]
    (study / "results.json").unlink()
    assert "No results are recorded" in gallery.pages(tmp_path)["gallery/index.md"]


@pytest.mark.parametrize(
    ("page", "written", "in_the_site"),
    [
        ("a.md", "[co2](../experiments/co2)", "[co2](gallery/co2/index.md)"),
        ("a.md", "[all](../experiments/)", "[all](gallery/index.md)"),
        ("a.md", "![p](../experiments/co2/forecast.png)", "![p](gallery/co2/forecast.png)"),
        ("a.md", "[conf/](../conf)", "conf/"),
        ("a.md", "[LSTM](../src/unrolled/cells/lstm.py)", "LSTM (`src/unrolled/cells/lstm.py`)"),
        ("gallery/co2/index.md", "[f](../../docs/data.md#splits)", "[f](../../data.md#splits)"),
        ("gallery/index.md", "[f](./../docs/data.md)", "[f](../data.md)"),
        ("gallery/index.md", "[other](./trec)", "[other](trec/index.md)"),
        ("gallery/co2/index.md", "[other](../trec)", "[other](../trec/index.md)"),
        ("a.md", "[b](b.md#c)", "[b](b.md#c)"),
    ],
)
def test_links_out_of_the_pages_lead_into_the_site(
    page: str, written: str, in_the_site: str
) -> None:
    assert hook("links").relinked(written, page) == in_the_site


def test_equations_and_examples_of_docstrings_keep_their_lines() -> None:
    fenced = hook("docstrings").fenced
    assert fenced("A cell.\n\nh_t = a\nc_t = b\n\nWords = none") == (
        "A cell.\n\n```text\nh_t = a\nc_t = b\n```\n\n```text\nWords = none\n```"
    )
    assert fenced(">>> 1 + 1\n2") == "```pycon\n>>> 1 + 1\n2\n```"
    assert fenced("Args:\n    x: a tensor.") == "Args:\n    x: a tensor."

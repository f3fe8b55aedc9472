"""A study that has something for every section of the page, and the page as a parser sees it."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from unrolled.runs.figures import Curve, Forecast, Matrix, to_plain

Make = Callable[..., Any]
FIGURES = {
    "test/confusion": to_plain(Matrix(["no", "yes"], ["no", "yes"], [[8, 2], [1, 9]])),
    "test/by_length": to_plain(Curve([1, 2, 4], [0.9, 0.8, 0.5], "length", "share", {"seen": 2})),
    "test/ahead": to_plain(Forecast([1, 2, 3], [4, 5], [4.5, 5.5], "ppm", 1990, 1)),
}
DIAGNOSED = {
    "figures": {"gradient_flow": to_plain(Curve([0, 1, 2], [1.0, 0.5, 0.2], "k", "norm", {}))},
    "numbers": {"memory_length": 12.0, "decay_rate": 0.7},
}


class Page(HTMLParser):
    """The elements and the text of a page, without what is inside styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.scripts.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def sections(self) -> list[str | None]:
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]

    @property
    def payload(self) -> Any:
        (text,) = [text for text in self.scripts if text.startswith('{"charts"')]
        return json.loads(text)


@pytest.fixture
def parsed() -> Callable[[str], Page]:
    """What a parser sees in a page."""
    return Page


@pytest.fixture
def full_study(make_run: Make, tmp_path: Path) -> Path:
    """Two cells of three seeds, unlike in size, with figures, samples, diagnostics, a command, a
    search, and a run that failed."""
    for cell, perplexity, parameters in (("gru", 5.6, 90_000), ("lstm", 5.8, 120_000)):
        for seed in (1, 2, 3):
            folder = make_run(
                cell, seed, perplexity + 0.01 * seed, figures=FIGURES,
                model={"parameters": parameters, "flops_per_token": 2 * parameters},
                timing={"seconds": 20.0 + seed, "tokens": 64_000, "tokens_per_second": 3_000.0},
                config={"trial.search": "s", "trial.number": seed + 3 * (cell == "gru"),
                        "trial.objectives": ["validation/loss"]},
            )  # fmt: skip
            (folder / "samples.txt").write_text("--- step 1\nold\n\n--- step 2\nIt was <late>\n\n")
            (folder / "diagnostics.json").write_text(json.dumps(DIAGNOSED))
    make_run("rnn", 1, status="failed", error={"type": "ValueError", "message": "no <memory>"})
    study = tmp_path / "study"
    (study / "sweep.json").write_text(json.dumps({"command": "unrolled train -m cell=gru,lstm"}))
    return study

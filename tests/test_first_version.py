"""Runs that the first version made, of which two are stored: they are read as they were."""

import io
import json
import shutil
from pathlib import Path

import pytest

from unrolled.commands.evaluate import evaluate
from unrolled.commands.generate import generate_side_by_side
from unrolled.comparison.report import compare
from unrolled.runs.record import find_runs, read_record
from unrolled.tasks.generation import Request

STORED = Path(__file__).parent / "stored" / "first_version"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The stored study, where its runs' own relative paths lead."""
    shutil.copy(STORED / "text.txt", tmp_path)
    shutil.copytree(STORED, tmp_path / "outputs" / "first_version")
    return tmp_path / "outputs" / "first_version"


def test_evaluating_gives_the_recorded_figures(study: Path) -> None:
    for folder in find_runs(study):
        evaluation = evaluate(folder)
        assert evaluation.same_data
        # The last digits are another processor's.
        assert evaluation.metrics == pytest.approx(evaluation.recorded, rel=1e-5)
        assert len(evaluation.recorded) == 22


def test_the_text_is_the_same(study: Path) -> None:
    for folder in find_runs(study):
        out = io.StringIO()
        generate_side_by_side([folder], Request(prompt="the cat", length=60, seed=3), out)
        assert out.getvalue() == (folder / "generated.txt").read_text(encoding="utf-8")


def test_a_comparison_has_the_same_figures(study: Path, tmp_path: Path) -> None:
    compare([study], output=tmp_path / "now")
    then, now = (
        json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        for folder in (study, tmp_path / "now")
    )
    assert now["metric"] == then["metric"] == "validation/perplexity"
    assert now["baseline"] == then["baseline"]
    for before, group in zip(then["groups"], now["groups"], strict=True):
        for key in ("label", "seeds", then["metric"], then["other_metric"], "parameters"):
            assert group[key] == before[key]
        assert [run["metrics"] for run in group["runs"]] == [
            run["metrics"] for run in before["runs"]
        ]
    (chance,) = then["chance"]
    baselines = read_record(find_runs(study)[0]).description.baselines
    assert baselines["unigram"][then["metric"]] == chance[then["metric"]]

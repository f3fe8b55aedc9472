"""Comparisons of records that training wrote: of a sweep, retried, continued, and of a search."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from unrolled.cli import main
from unrolled.comparison.collect import collect
from unrolled.comparison.report import analyse, compare
from unrolled.runs.record import find_runs, read_record

# A cell that a file in the working folder makes fail, or be stopped by hand, after so many calls
# with a batch of training.
CELL = """
import os
import signal
from pathlib import Path

import torch
from unrolled.cells.gated import GatedCell


class Moody(GatedCell):
    gates = ("h",)

    def step(self, z, state):
        (h,) = state
        if h.shape[0] == 4 and Path("mood").exists():
            what, count = Path("mood").read_text().split()
            Path("mood").write_text(f"{what} {int(count) - 1}")
            if int(count) == 0 and what == "fail":
                raise ValueError("not today")
            if int(count) == 0:
                os.kill(os.getpid(), signal.SIGINT)
        return (torch.tanh(z + self.recur(h)),)
"""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of outputs with a few studies; do not write to it."""
    folder = tmp_path_factory.mktemp("real")
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "two", "dogs", "run", "over"]
    chooser = random.Random(0)
    lines = (" ".join(chooser.choices(words, k=8)) + ".\n" for _ in range(300))
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "moody.py").write_text(CELL, encoding="utf-8")
    tiny = [
        "dataset=text", f"dataset.path={folder}/text.txt", f"paths.outputs={folder}/outputs",
        f"paths.cache={folder}/cache", "model.embedding_size=8", "model.hidden_size=16",
        "task.batch_size=4", "task.sequence_length=16", "task.sample.length=0",
        "trainer.max_steps=20", "trainer.validate_every_steps=10", "trainer.log_every_steps=5",
        "trainer.threads=1",
    ]  # fmt: skip

    def train(*overrides: str, code: int = 0) -> None:
        assert main(["train", *tiny, *overrides]) == code

    def stopped(*overrides: str, mood: str, state: str) -> None:
        """A run that ends badly in its tenth step or so, and is made again."""
        Path("mood").write_text(f"{mood} 150")
        if mood == "fail":
            with pytest.raises(ValueError, match="not today"):
                train(*overrides)
        else:
            train(*overrides, code=130)
        (record,) = (
            record
            for path in find_runs(folder / "outputs" / "moody")
            if (record := read_record(path)).status != "finished"
        )
        assert record.state == state
        Path("mood").unlink()
        train(*overrides, "retry_failed=true")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("-m", "study=cells", "cell=lstm,gru", "seed=1,2")
        train("study=cells", "cell=lstm", "seed=3", "retry_failed=true")
        train("study=typed", "cell._target_=unrolled.cells.lstm.LSTM", "seed=4")
        # Its moods are no equations, which the plain loop alone calls at every step.
        moody = ["study=moody", "cell._target_=moody.Moody", "cell.backend=eager"]
        stopped(*moody, "seed=1", mood="fail", state="failed")
        stopped(*moody, "seed=2", mood="stop", state="interrupted")
        search = ["study=search", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4"]
        train("-m", *search, "optimizer.lr=tag(log, interval(1e-4, 1e-1))", "cell=gru,lstm")
    yield folder / "outputs"


def rows(*folders: Path) -> dict[str, list[int]]:
    return {group.label: group.seeds for group in collect(folders).groups}


@pytest.mark.slow
def test_a_retried_seed_and_a_typed_class_are_in_the_row_of_a_sweep(real: Path) -> None:
    assert rows(real / "cells", real / "typed") == {"gru": [1, 2], "lstm": [1, 2, 3, 4]}


@pytest.mark.slow
def test_runs_that_failed_or_were_stopped_on_their_way_are_runs_like_others(real: Path) -> None:
    assert rows(real / "moody") == {"Moody": [1, 2]}
    for folder in find_runs(real / "moody"):
        assert read_record(folder).status == "finished"


@pytest.mark.slow
def test_the_task_s_own_description_rules(real: Path) -> None:
    comparison = analyse(collect([real / "cells"]), [real / "cells"])
    description = comparison.records[0].description
    assert comparison.metric == f"validation/{description.primary}"
    assert comparison.about == description.metrics[description.primary]
    assert [level.label for level in comparison.references] == list(description.baselines)
    assert {row.label for row in comparison.rows} == {"gru", "lstm"}
    for column in comparison.columns:
        for row in comparison.rows:
            assert (
                column.brief_cell(row)
                or column.detail
                or column.name
                in (
                    "difference",
                    "label",
                )
            )


@pytest.mark.slow
def test_a_search_is_read_from_its_records_alone(real: Path, tmp_path: Path) -> None:
    journal = real / "search" / "search.journal"
    journal.rename(hidden := tmp_path / "journal")
    comparison, written = compare([real / "search"], output=tmp_path / "there")
    hidden.rename(journal)
    (search,) = comparison.searches
    assert set(search.parameters) == {"cell.name", "optimizer.lr"}
    assert [trial.number for trial in search.trials] == [0, 1, 2, 3]
    names = {path.name for path in written.files}
    assert {"search_history.png", "search_parameters.png", "search_importance.png"} <= names

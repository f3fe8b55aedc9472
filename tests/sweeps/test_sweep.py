"""A sweep from its command line: what it would do, what it reads, and what it says at its end."""

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.config.locations import config_directory, frozen
from unrolled.errors import ConfigError
from unrolled.sweeps.expansion import plan
from unrolled.sweeps.sweep import dry_run, summarize, sweep
from unrolled.training.run import Outcome, run

Overrides = Callable[..., list[str]]


def printed() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=200), text


def test_a_dry_run_lists_what_would_become_of_each_run(overrides: Overrides) -> None:
    by = "name_by=[cell.name,seed,optimizer.lr]"
    lr = "optimizer.lr=0.01"
    run(plan(overrides("seed=1", by, lr)).configs[0])
    with pytest.raises(Exception, match="too small"):
        run(plan(overrides("seed=1", by, lr, "budget.parameters=10")).configs[0])
    before = sorted(Path("outputs").rglob("*"))
    console, text = printed()
    sweep = overrides("seed=1,2", lr, "budget.parameters=null,10")
    dry_run(plan(sweep, multirun=True), console)
    lines = [line.split("  ") for line in text.getvalue().splitlines()]
    assert [line[1] for line in lines[:-1]] == ["skip", "leave", "run", "run"]
    assert lines[0][0].startswith("lstm-seed1-lr0.01")
    assert lines[-1][0] == "4 runs: 1 skip, 1 leave, 2 run"
    assert sorted(Path("outputs").rglob("*")) == before
    console, text = printed()
    dry_run(plan([*sweep, "retry_failed=true"], multirun=True), console)
    assert text.getvalue().splitlines()[1].endswith("  retry")


def test_a_dry_run_of_an_interrupted_run_says_where_it_is(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.training.module import TaskModule

    whole = TaskModule.training_step

    def stopped(self: TaskModule, *args: object) -> object:
        if self.global_step == 12:
            raise KeyboardInterrupt
        return whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(TaskModule, "training_step", stopped)
    planned = plan(overrides())
    with pytest.raises(KeyboardInterrupt):
        run(planned.configs[0])
    console, text = printed()
    dry_run(planned, console)
    assert "continue (its last validation was at step 10)" in text.getvalue()


def test_editing_a_file_during_a_sweep_changes_nothing_of_it(tmp_path: Path) -> None:
    own = tmp_path / "conf"
    (own / "cell").mkdir(parents=True)
    (own / "cell" / "mine.yaml").write_text("a: 1\n")
    here = config_directory()
    with frozen(tmp_path / "copy", str(own)) as copy:
        assert copy is not None
        (own / "cell" / "mine.yaml").write_text("a: 2\n")
        assert (Path(copy) / "cell" / "mine.yaml").read_text() == "a: 1\n"
        assert config_directory() != here
        names = [path.relative_to(here) for path in sorted(here.rglob("*.yaml"))]
        assert all((config_directory() / name).is_file() for name in names)
    assert config_directory() == here
    assert not Path(copy).exists()


def test_the_summary_counts_and_gives_the_commands() -> None:
    console, text = printed()
    outcomes = [
        Outcome("finished", Path("a")),
        Outcome("skipped", Path("b")),
        Outcome("pruned", Path("c")),
        *(Outcome("failed", None, f"no memory: {n}") for n in (1, 2)),
        Outcome("interrupted", None, "its process was killed by SIGKILL"),
        Outcome("busy", None, "outputs/x: another process is working on this run"),
    ]
    command = shlex.join(["unrolled", "train", "-m", "seed=1,2"])
    assert summarize(outcomes, console, command) == 4
    lines = text.getvalue().splitlines()
    assert lines == [
        "1 finished, 1 skipped, 1 pruned, 1 interrupted, 1 busy, 2 failed",
        "to go on with what is left: unrolled train -m seed=1,2",
        "to retry what failed: unrolled train -m seed=1,2 retry_failed=true",
    ]
    console, text = printed()
    assert summarize(outcomes[:3], console, command) == 0
    assert text.getvalue() == "1 finished, 1 skipped, 1 pruned, 0 failed\n"


def test_failing_fast_needs_a_launcher_that_can(overrides: Overrides) -> None:
    planned = plan(overrides("seed=1,2", "hydra/launcher=basic", "fail_fast=true"), multirun=True)
    with pytest.raises(ConfigError, match="fail_fast=true: only hydra/launcher=local"):
        dry_run(planned, printed()[0])


def test_a_sweeper_of_others_cannot_be_listed_ahead(overrides: Overrides) -> None:
    planned = plan(overrides("seed=1,2"), multirun=True)
    planned.hydra.sweeper._target_ = "some.OtherSweeper"
    with pytest.raises(ConfigError, match=r"some\.OtherSweeper does not say what it would run"):
        dry_run(planned, printed()[0])


def test_of_a_search_a_dry_run_says_how_far_it_is(overrides: Overrides) -> None:
    search = ["hydra/sweeper=optuna", "hydra/launcher=basic", "optimizer.lr=interval(0.01, 0.1)"]
    planned = plan([*overrides(), *search, "hydra.sweeper.n_trials=2"], multirun=True)
    console, text = printed()
    dry_run(planned, console)
    assert "a search of 2 trials: none so far, 0 to be continued" in text.getvalue()
    assert not Path("outputs").exists()
    sweep(planned, printed()[0])
    more = plan([*overrides(), *search, "hydra.sweeper.n_trials=5"], multirun=True)
    console, text = printed()
    dry_run(more, console)
    assert "a search of 5 trials: 2 complete so far" in text.getvalue()
    assert text.getvalue().strip().endswith("3 to run")

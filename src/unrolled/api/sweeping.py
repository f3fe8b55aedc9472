"""``unrolled.sweep``: many runs, as ``unrolled train -m`` makes them."""

import contextlib
import html
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.api.host import host_as_before, own_code_as_it_is_now, torch_as_before
from unrolled.api.overrides import Given, override_lines
from unrolled.api.progress import progress_console
from unrolled.api.run import Run
from unrolled.errors import ConfigError, SweepError

if TYPE_CHECKING:
    from unrolled.api.comparing import Comparison
    from unrolled.training.run import Outcome


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that has no result.

    Attributes:
        status: ``failed``, ``interrupted`` or ``busy`` (another process works on it).
        message: why, in a sentence.
        folder: of the run; None where it had not begun.

    >>> import unrolled
    >>> print(unrolled.Failure("failed", "no memory"))
    failed: no memory
    """

    status: str
    message: str
    folder: Path | None = None

    def __str__(self) -> str:
        place = "" if self.folder is None else f"{self.folder.name} "
        return f"{place}{self.status}: {self.message}"


@dataclass(frozen=True)
class Sweep:
    """What became of the runs of a sweep.

    Attributes:
        runs: those that have a result, made by this call or skipped, and those that a search gave
            up (``run.outcome`` is ``pruned``).
        failures: the others, each with its reason.

    >>> import unrolled
    >>> sweep = unrolled.Sweep(runs=(), failures=(unrolled.Failure("failed", "no memory"),))
    >>> sweep
    <Sweep: 0 runs, 1 failure>
    """

    runs: tuple[Run, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The folders of all its runs that have begun."""
        every: list[Run | Failure] = [*self.runs, *self.failures]
        return list(dict.fromkeys(one.folder for one in every if one.folder is not None))

    def compare(self, **options: Any) -> "Comparison":
        """``unrolled.compare`` of its runs, and of no others in their folder."""
        from unrolled.api.comparing import compare

        return compare(self, **options)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        runs, failures = len(self.runs), len(self.failures)
        return (
            f"<Sweep: {runs} run{'' if runs == 1 else 's'}, {failures} "
            f"failure{'' if failures == 1 else 's'}>"
        )

    def _repr_html_(self) -> str:
        counts = Counter(run.outcome for run in self.runs)
        words = [f"{count} {outcome}" for outcome, count in counts.items()]
        failures = "".join(f"<li>{html.escape(str(one))}</li>" for one in self.failures)
        counted = html.escape(", ".join([*words, f"{len(self.failures)} without a result"]))
        return f"{counted}<ul>{failures}</ul>" if failures else counted


def sweep(
    *overrides: Given,
    config_dir: str | None = None,
    progress: bool = True,
    check: bool = False,
    **values: Any,
) -> Sweep:
    """Make a run for each combination of values, as ``unrolled train -m`` does.

    As many train at a time as there are cores, each in a process of its own; what is finished is
    skipped. It works from a notebook and from a script, with or without
    ``if __name__ == "__main__"``.

    Args:
        overrides: as for ``unrolled.train``; in lines, several values are separated by commas
            (``"cell=lstm,gru"``), and a search has intervals
            (``"optimizer.lr=interval(1e-4, 1e-1)"``).
        config_dir: a folder with config groups of your own.
        progress: whether to show how far the runs are.
        check: whether a run without a result raises SweepError, once all others have ended.
        values: as for ``unrolled.train``, where a list is several values: ``seed=[1, 2, 3]``. Of
            a key whose value is a list, give a list of lists. ``hydra={"launcher": "ray"}`` and
            ``hydra={"sweeper": "optuna", "sweeper.n_trials": 30}`` choose a launcher and a
            sweeper; a study of ``experiments/`` has its own: ``experiment="hello_world"``.

    Returns:
        The runs, and why others have no result.

    Raises:
        ConfigError, DataError, DeviceError, StorageError: the sweep cannot begin; nothing was run.
        SweepError: with ``check``, some runs have no result.
        KeyboardInterrupt: stopped; the runs under way have written their records, and the same
            call goes on.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> sweep = unrolled.sweep(
    ...     tiny, cell=["rnn_tanh", "gru"], seed=[1, 2], study="words", progress=False
    ... )
    >>> sweep
    <Sweep: 4 runs, 0 failures>
    >>> unrolled.sweep("cell=gru,lstmm")
    Traceback (most recent call last):
    unrolled.errors.ConfigError: cell=lstmm: no such choice; did you mean lstm? ...
    """
    from unrolled.commands.train import require_own
    from unrolled.sweeps.expansion import plan
    from unrolled.sweeps.launching import is_ours
    from unrolled.sweeps.sweep import sweep as make_runs

    lines = override_lines(overrides, _with_groups(values), swept=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(host_as_before())
        planned = plan(lines, multirun=True, config_dir=config_dir)
        stack.enter_context(own_code_as_it_is_now(planned.configs))
        require_own(planned.configs)
        if not is_ours(planned.hydra.launcher):
            # Such a launcher may train in this process.
            stack.enter_context(torch_as_before())
        console = progress_console(progress)
        command = shlex.join(["unrolled", "train", "-m", *lines])
        made = _sorted(make_runs(planned, console, command))
    console.print(_counted(made), highlight=False, markup=False, soft_wrap=True)
    if check and made.failures:
        several = f"{len(made.failures)} of {len(made.failures) + len(made.runs)} runs have no "
        raise SweepError(f"{several}result; the first: {made.failures[0]}", made)
    return made


def _with_groups(values: dict[str, Any]) -> dict[str, Any]:
    """Hydra's own groups are chosen by a slash."""
    hydra = values.get("hydra")
    if hydra is None:
        return values
    if not isinstance(hydra, dict):
        raise ConfigError("hydra: a mapping such as {'sweeper': 'fair'}")
    chosen = [key for key, value in hydra.items() if isinstance(value, str) and "." not in key]
    groups = {f"hydra/{key}": hydra[key] for key in chosen}
    keys = {key: value for key, value in hydra.items() if key not in chosen}
    rest = {key: value for key, value in values.items() if key != "hydra"}
    return {**groups, **rest, **({"hydra": keys} if keys else {})}


def _sorted(outcomes: "list[Outcome]") -> Sweep:
    """Runs with a result, and the others."""
    runs: list[Run] = []
    failures: list[Failure] = []
    for outcome in outcomes:
        if outcome.status in ("finished", "skipped", "pruned") and outcome.folder is not None:
            runs.append(Run(outcome.folder, outcome.status))
        else:
            failures.append(Failure(outcome.status, outcome.message, outcome.folder))
    return Sweep(tuple(runs), tuple(failures))


def _counted(made: Sweep) -> str:
    counts = Counter([run.outcome for run in made.runs] + [one.status for one in made.failures])
    words = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no runs"
    if counts["failed"]:
        words += "; retry_failed=True in the same call tries again what failed"
    return words

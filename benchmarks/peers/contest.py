"""Contestants in turn: each trains the same work in a fresh process, round after round."""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.peers import unrolled_run
from benchmarks.peers.job import Job
from benchmarks.peers.process import environment, watch

PLAIN = "script"
# The clusters of experiments/adaptive_softmax that keep dense scores' perplexity at 10,000 words.
WIDE = ("head=adaptive", "head.cutoffs=[2000]", "head.div_value=2")


@dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        name: as tables show it.
        module: what Python runs; None for Unrolled, which is run by its own command.
        extra: overrides that Unrolled gets besides.
        needs: a package that may be missing.
        words_only: whether it takes part over words alone.
    """

    name: str
    module: str | None = None
    extra: tuple[str, ...] = ()
    needs: str | None = None
    words_only: bool = False

    @property
    def missing(self) -> str | None:
        """Why it cannot take part; None where it can."""
        if self.needs is None or find_spec(self.needs):
            return None
        return f"{self.name} is left out: {self.needs} is missing, pip install 'unrolled[bench]'"


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant("unrolled"),
        Contestant("unrolled fp32", extra=("trainer.precision=fp32",)),
        Contestant("unrolled adaptive", extra=("head=adaptive",), words_only=True),
        Contestant("unrolled adaptive wide", extra=WIDE, words_only=True),
        Contestant(PLAIN, "benchmarks.peers.plain"),
        Contestant("lightning", "benchmarks.peers.lightning"),
        Contestant("keras", "benchmarks.peers.keras_torch", needs="keras"),
    )
}


def train(one: Contestant, job: Job, threads: int, cache: Path) -> dict[str, Any]:
    """One training in a process of its own, and what was seen of it.

    Args:
        cache: where Unrolled keeps tokenized text from one training to the next.

    Raises:
        ContestantError: it failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if one.module is None:
            command = unrolled_run.command(job, folder / "outputs", threads, one.extra)
            env = environment(threads, UNROLLED_CACHE=str(cache))
            seen = watch(
                [sys.executable, *command],
                env,
                folder / "log.txt",
                lambda: unrolled_run.first_step_done(folder / "outputs"),
            )
            (report,) = unrolled_run.reports(folder / "outputs")
            first_step = seen.first_step
        else:
            path = folder / "report.json"
            command = [sys.executable, "-m", one.module, job.to_json(), str(path)]
            seen = watch(command, environment(threads), folder / "log.txt")
            report = json.loads(path.read_text("utf-8"))
            first_step = report.pop("first_step")
    tokens = job.batch * job.length
    return {
        **report,
        "tokens_per_second": tokens_per_second(report["parts"], tokens),
        "start_seconds": None if first_step is None else first_step - seen.started,
        "total_seconds": seen.seconds,
        "peak_bytes": seen.peak_bytes,
    }


def tokens_per_second(parts: Sequence[dict[str, float]], tokens: int) -> float:
    """The median over parts of a training, the first of which warms up.

    Args:
        tokens: of a step.
    """
    rates, before = [], 0.0
    for part in parts:
        rates.append((part["step"] - before) * tokens / part["seconds"])
        before = part["step"]
    return statistics.median(rates[1:] or rates)


def seconds_to(parts: Sequence[dict[str, float]], perplexity: float) -> float | None:
    """Seconds of training, evaluation left out, until a validation perplexity was reached; None
    where it was not."""
    seconds = 0.0
    for part in parts:
        seconds += part["seconds"]
        if part["perplexity"] <= perplexity:
            return seconds
    return None


def contest(
    contestants: Sequence[Contestant],
    job_of: Callable[[int], Job],
    repeats: int,
    threads: int,
    cache: Path,
) -> dict[str, list[dict[str, Any]]]:
    """Every contestant once a round; who begins changes from round to round.

    Args:
        job_of: the job of a seed.

    Returns:
        What was seen of each contestant, a training a round.
    """
    trainings: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contestants}
    for repeat in range(repeats):
        turn = repeat % len(contestants)
        for one in (*contestants[turn:], *contestants[:turn]):
            job = job_of(repeat + 1)
            found = train(one, job, threads, cache)
            trainings[one.name].append(found)
            print(
                f"  {one.name}: {found['tokens_per_second']:,.0f} tokens/s, "
                f"loss {found['parts'][-1]['loss']:.3f}",
                flush=True,
            )
    return trainings

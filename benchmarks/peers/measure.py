"""A work measured: contestants, the machine's rate, and where a step's time goes, with all that
the figures need to be judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.contest import Contestant, contest
from benchmarks.peers.job import Job
from benchmarks.peers.parts import seconds_of_parts
from benchmarks.peers.rate import matrix_product_rates
from benchmarks.peers.summary import summarize
from benchmarks.peers.sweep import sweep
from benchmarks.peers.works import Work


@dataclass(frozen=True)
class Place:
    """Where the works are trained.

    Attributes:
        text: the folder of the prepared text, and ``vocabulary`` its size.
        cache: where Unrolled keeps tokenized text.
    """

    text: Path
    vocabulary: int
    cache: Path
    device: Literal["cpu", "cuda"]

    def job_of(self, work: Work) -> Callable[[int], Job]:
        """The work's job of a seed."""
        return lambda seed: work.job(self.text, seed, self.device)

    def about(self, work: Work) -> dict[str, Any]:
        """What every measurement says besides its figures."""
        from unrolled.training.environment import describe_environment

        return {
            "work": work.name,
            "device": self.device,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": describe_environment(),
            "vocabulary": self.vocabulary,
            "steps": work.steps,
        }


def measure_run(
    work: Work,
    place: Place,
    contestants: Sequence[Contestant],
    *,
    threads: int,
    repeats: int,
    target: float | None,
) -> dict[str, Any]:
    """A run alone, by every contestant that is there.

    Raises:
        ContestantError: one failed.
    """
    fitting = [one for one in contestants if work.text != "characters" or not one.words_only]
    present = [one for one in fitting if not one.missing]
    trainings = contest(
        present,
        place.job_of(work),
        repeats,
        threads,
        place.cache,
    )
    job = place.job_of(work)(1)
    rates = matrix_product_rates(place.device, threads)
    flops = flops_per_token(work, place.vocabulary)
    return {
        **place.about(work),
        "threads": threads,
        "tokens": job.batch * job.length,
        "flops_per_token": flops,
        "rates": rates,
        "parts": seconds_of_parts(job, place.vocabulary, threads),
        "contestants": summarize(trainings, rates, flops, target),
        "notes": [one.missing for one in fitting if one.missing],
    }


def measure_sweep(work: Work, place: Place, *, runs: int, repeats: int) -> dict[str, Any]:
    """Many runs.

    Raises:
        ContestantError: a command failed.
    """
    found = sweep(place.job_of(work), runs, repeats, place.cache)
    return {**place.about(work), **found}


def flops_per_token(work: Work, symbols: int) -> int:
    """Of the forward pass, matrix products alone: the input's and the state's of each layer, and
    the output layer's."""
    gates = {"rnn_tanh": 1, "lstm": 4, "gru": 3, "min_gru": 2, "mgu": 2}[work.cell]
    inputs = [work.embedding] + [work.hidden] * (work.layers - 1)
    states = 0 if work.cell == "min_gru" else work.hidden
    layers = sum(2 * gates * work.hidden * (size + states) for size in inputs)
    return layers + 2 * work.hidden * symbols

"""What a step of a run costs beside bare loops: ``python -m benchmarks.overhead``.

Between any two steps of a run, in its own process, a step is taken by a bare loop over the same
model (``bare``: the run's data, optimizer, schedule and clipping, and nothing else) and by the
plain script of benchmarks.peers over ``torch.nn``'s network of that size (``script``), in one
order and the other. So all three meet the machine in the same state, however much others use it.
What Lightning, callbacks, metrics and logs do between two steps counts as the run's; validations
do not.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.peers.process import environment

# Steps of about 4, 13, 25 and 60 ms on one core: cell, hidden size, sequences, their length.
# The second and third are the 100,000 parameters of `make compare`.
SIZES = {
    "small": ("rnn_tanh", 64, 16, 32),
    "lstm-100k": ("lstm", 112, 16, 64),
    "gru-100k": ("gru", 128, 16, 64),
    "large": ("rnn_tanh", 256, 32, 64),
    "lstm-256": ("lstm", 256, 32, 64),
}
STEPS = {"small": 1500, "lstm-100k": 600, "gru-100k": 600, "large": 300, "lstm-256": 200}
# Steps that are compared together, of which each has one that the run logs: as many as by default.
WINDOW = 20
EMBEDDING = 64

Times = list[tuple[float, ...]]


def overrides(size: str, folder: Path) -> list[str]:
    """The run's, with metrics, TensorBoard and the table of curves as they are by default."""
    cell, hidden, batch, length = SIZES[size]
    return [
        *(f"cell={cell}", f"model.hidden_size={hidden}", f"model.embedding_size={EMBEDDING}"),
        *(f"task.batch_size={batch}", f"task.sequence_length={length}"),
        *("dataset.first_year=2000", "scheduler=cosine", f"trainer.log_every_steps={WINDOW}"),
        *(f"trainer.max_steps={STEPS[size]}", f"trainer.validate_every_steps={STEPS[size] // 2}"),
        *("task.evaluation_batch_size=64", "task.sample.length=0", "trainer.precision=fp32"),
        *(f"paths.outputs='{folder}'", f"paths.cache='{folder / 'cache'}'"),
    ]


def bare_steps(module: Any, loader: Any, clip: float) -> Iterator[float]:
    """Steps of a bare loop over a copy of the run's model, and their losses."""
    import torch

    from unrolled.recurrence.stack import detach

    model = copy.deepcopy(module.model)
    optimizer = module.make_optimizer(model.parameters())
    schedule = module.make_schedule(optimizer)["scheduler"]
    parameters = [*model.parameters()]

    def steps() -> Iterator[float]:
        while True:
            states = None
            for batch in loader:
                hidden, states = model(batch.inputs, states)
                states = detach(states)
                loss = model.head.loss(hidden, batch.targets)
                value = loss.item() / batch.size
                optimizer.zero_grad()
                (loss / batch.size).backward()
                torch.nn.utils.clip_grad_norm_(parameters, clip)
                optimizer.step()
                schedule.step()
                yield value

    # The copy is made now, and not at the first step.
    return steps()


def script_steps(
    size: str, vocabulary: int, loader: Any, lr: float, clip: float
) -> Iterator[float]:
    """Steps of the plain script, and their losses."""
    from benchmarks.peers.job import Training
    from benchmarks.peers.network import LanguageModel, optimizer_of
    from benchmarks.peers.plain import train_step
    from torch import nn

    cell, hidden, batch, length = SIZES[size]
    training = Training(
        cell=cell,
        embedding=EMBEDDING,
        hidden=hidden,
        layers=1,
        batch=batch,
        length=length,
        optimizer="adam",
        lr=lr,
        clip=clip,
        steps=STEPS[size],
    )
    model = LanguageModel(training, vocabulary)
    criterion, optimizer = nn.CrossEntropyLoss(), optimizer_of(training, model)
    while True:
        state = None
        for one in loader:
            loss, state = train_step(
                model, criterion, optimizer, one.inputs, one.targets, state, clip
            )
            yield loss


def measure_run(
    size: str, folder: Path, loop: str = "ours"
) -> tuple[Times, list[float], list[dict[str, float]]]:
    """Make a run whose steps take turns with those of the bare loops.

    Args:
        loop: whose loop over batches the run has, ``ours`` or ``lightning``.

    Returns:
        Seconds of each step of the run, the bare loop and the script, without the steps that came
        after a validation; the losses of the bare loop; and the run's history.
    """
    from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

    import unrolled
    from unrolled.training import trainer as of_runs
    from unrolled.training.callbacks import RecordKeeper
    from unrolled.training.step_loop import StepLoop

    base: Any = StepLoop if loop == "ours" else _TrainingEpochLoop
    times: Times = []
    losses: list[float] = []

    class Beside(base):  # type: ignore[misc]
        """The loop of a run, in which the others have their turns."""

        bare: Iterator[float]
        script: Iterator[float]
        keeper: RecordKeeper
        ended = 0.0

        def advance(self, data_fetcher: Any) -> None:
            step = self.global_step
            if step == 0:
                self._begin()
            super().advance(data_fetcher)
            clocks, values = [self.ended, time.perf_counter()], []
            # Each comes after either of the others as often, since it finds their data in caches.
            order = 1 if step % 2 else -1
            for contestant in (self.bare, self.script)[::order]:
                values.append(next(contestant))
                clocks.append(time.perf_counter())
            self.ended = clocks[-1]
            # What a run writes twice a second it writes no oftener for the others' turns.
            self.keeper.written += clocks[-1] - clocks[1]
            losses.append(values[::order][0])
            if step % (STEPS[size] // 2):
                own, *others = (end - start for start, end in pairwise(clocks))
                times.append((own, *others[::order]))

        def _begin(self) -> None:
            module, batches = self.trainer.lightning_module, self.trainer.datamodule
            self.keeper = next(c for c in self.trainer.callbacks if isinstance(c, RecordKeeper))
            clip, rate = self.trainer.gradient_clip_val, self.trainer.optimizers[0].defaults["lr"]
            vocabulary = module.model.head.linear.out_features
            self.bare = bare_steps(module, batches.train_dataloader(), clip)
            self.script = script_steps(size, vocabulary, batches.train_dataloader(), rate, clip)

    with patch.object(of_runs, "StepLoop", Beside):
        record = unrolled.train(overrides(size, folder)).record
    return times, losses, record.history


def windows(times: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Milliseconds of a step of each contestant, means over windows of the second half."""
    late = times[len(times) // 2 :]
    starts = range(0, len(late) - WINDOW + 1, WINDOW)
    parts = [late[start : start + WINDOW] for start in starts]
    return [tuple(1e3 * sum(one) / WINDOW for one in zip(*part, strict=True)) for part in parts]


def in_a_process(size: str, threads: int, loop: str) -> list[tuple[float, ...]]:
    """The windows of a run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.overhead", "--child", size, folder, loop],
            env=environment(threads),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: list[tuple[float, ...]] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(size: str, threads: int, repeats: int, loop: str = "ours") -> dict[str, Any]:
    """A row: medians over all windows, and those of the ratios within a window."""
    found = [window for _ in range(repeats) for window in in_a_process(size, threads, loop)]
    cell, hidden, batch, length = SIZES[size]
    row: dict[str, Any] = {
        "cell": cell,
        "hidden_size": hidden,
        "batch_size": batch,
        "sequence_length": length,
        "threads": threads,
        "loop": loop,
        "windows": len(found),
        "run_ms": median(run for run, _, _ in found),
        "bare_ms": median(bare for _, bare, _ in found),
        "script_ms": median(script for _, _, script in found),
        "run_by_bare": median(run / bare for run, bare, _ in found),
        "script_by_run": median(script / run for run, _, script in found),
    }
    print(
        f"{cell} {hidden}, {batch} x {length}, threads {threads}: {row['run_ms']:.2f} ms a step, "
        f"bare {row['bare_ms']:.2f} ms ({100 * (row['run_by_bare'] - 1):+.1f} %), script "
        f"{row['script_ms']:.2f} ms: {row['script_by_run']:.2f} times as fast as the script",
        flush=True,
    )
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.overhead", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="processes (3)")
    parser.add_argument(
        "--loop", choices=("ours", "lightning"), default="ours", help="the run's over batches"
    )
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        size, folder, loop = options.child
        print(json.dumps(windows(measure_run(size, Path(folder), loop)[0])))
        return
    rows = [
        measure(size, options.threads, options.repeats, options.loop) for size in options.sizes
    ]
    if options.output:
        from unrolled.training.environment import describe_environment

        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": describe_environment(),
        }
        options.output.write_text(json.dumps(about | {"rows": rows}, indent=1), encoding="utf-8")
        print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

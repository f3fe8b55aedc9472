"""What a step of a run costs beside a bare loop over the same model: ``python -m
benchmarks.overhead``.

The bare loop has the run's model, data, optimizer, schedule and clipping, and nothing else: no
trainer, no metrics, no logs, no record. Both train in processes of their own, one after the other
in turn; the first half of the steps warms up, and the second is timed without validations.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.process import environment

# Steps of about 2, 10 and 25 ms on one core: cell, hidden size, sequences, steps of a sequence.
SIZES = {
    "small": ("rnn_tanh", 64, 16, 32),
    "middle": ("lstm", 128, 16, 64),
    "large": ("rnn_tanh", 256, 32, 64),
}
STEPS = {"small": 2000, "middle": 600, "large": 300}


def overrides(size: str, folder: Path) -> list[str]:
    """The run's, with metrics, TensorBoard and the table of curves as they are by default."""
    cell, hidden, batch, length = SIZES[size]
    return [
        *(f"cell={cell}", f"model.hidden_size={hidden}", f"task.batch_size={batch}"),
        *(f"task.sequence_length={length}", "dataset.first_year=2000", "scheduler=cosine"),
        *(f"trainer.max_steps={STEPS[size]}", f"trainer.validate_every_steps={STEPS[size] // 2}"),
        *("task.evaluation_batch_size=64", "task.sample.length=0", "trainer.precision=fp32"),
        *(f"paths.outputs='{folder}'", f"paths.cache='{folder / 'cache'}'"),
    ]


def run(size: str, folder: Path) -> tuple[float, float]:
    """Seconds of a step of a run, and its loss meanwhile."""
    import unrolled

    first, last = unrolled.train(overrides(size, folder)).record.history
    steps = last["step"] - first["step"]
    return (last["seconds"] - first["seconds"]) / steps, last["train/loss"]


def bare(size: str, folder: Path) -> tuple[float, float]:
    """Seconds of a step of the bare loop, and its loss meanwhile."""
    import torch

    from unrolled.config.compose import compose_run
    from unrolled.recurrence.stack import detach
    from unrolled.tasks.build import build_task, prepare_data
    from unrolled.training.allocator import keep_freed_memory
    from unrolled.training.fit import make_batches, make_module, run_length

    config = compose_run(overrides(size, folder))
    keep_freed_memory()
    torch.manual_seed(config.seed)
    task, data = build_task(config.task), prepare_data(config)
    batches = make_batches(config, task, data)
    module = make_module(config, task, data, run_length(config, task, batches))
    model = module.model
    optimizer = module.make_optimizer(model.parameters())
    schedule = module.make_schedule(optimizer)["scheduler"]
    parameters, states = [*model.parameters()], None
    started = losses = targets = 0.0
    loader = batches.train_dataloader()
    chunks = iter(loader)
    half = STEPS[size] // 2
    for step in range(2 * half):
        if step == half:
            started, losses, targets = time.perf_counter(), 0.0, 0.0
        batch = next(chunks, None)
        if batch is None:
            chunks, states = iter(loader), None
            batch = next(chunks)
        hidden, states = model(batch.inputs, states)
        states = detach(states)
        loss = model.head.loss(hidden, batch.targets)
        losses, targets = losses + loss.item(), targets + batch.size
        optimizer.zero_grad()
        (loss / batch.size).backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.trainer.gradient_clip)
        optimizer.step()
        schedule.step()
    return (time.perf_counter() - started) / half, losses / targets


def seconds(kind: str, size: str, threads: int) -> float:
    """Of one kind's step, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.overhead", "--child", kind, size, folder],
            env=environment(threads),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return float(done.stdout.splitlines()[-1])


def measure(size: str, threads: int, repeats: int) -> dict[str, Any]:
    """The medians of both in turn."""
    found: dict[str, list[float]] = {"run": [], "bare": []}
    for repeat in range(repeats):
        for kind in ("run", "bare") if repeat % 2 else ("bare", "run"):
            found[kind].append(seconds(kind, size, threads))
    run_ms, bare_ms = (1e3 * median(found[kind]) for kind in ("run", "bare"))
    cell, hidden, batch, length = SIZES[size]
    row = {
        "cell": cell,
        "hidden_size": hidden,
        "batch_size": batch,
        "sequence_length": length,
        "threads": threads,
        "run_ms": run_ms,
        "bare_ms": bare_ms,
        "all": found,
    }
    print(
        f"{cell} {hidden}, {batch} x {length}, threads {threads}: {run_ms:.2f} ms a step, bare "
        f"{bare_ms:.2f} ms: {run_ms - bare_ms:+.2f} ms, {100 * (run_ms / bare_ms - 1):+.1f} %"
    )
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.overhead", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        kind, size, folder = options.child
        taken, _ = {"run": run, "bare": bare}[kind](size, Path(folder))
        print(taken)
        return
    rows = [measure(size, options.threads, options.repeats) for size in options.sizes]
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

"""Whether several runs of one architecture would be faster as one program than one by one.

    python -m benchmarks.stacked [--cells rnn_tanh,gru,lstm] [--sizes 16,32,64,128,256]
        [--models 8] [--length 64] [--batch 32] [--repeats 5] [--threads 1] [--device cuda]
        [--output FILE]

The models are layers that differ in their weights and inputs alone, as runs of one cell by seed
or learning rate do. One by one, each is run forwards and backwards by what ``auto`` chooses for
it. As one program, their weights are stacked and torch.func.vmap turns each product of the cell's
own equations into a batched one. The two take turns in rounds; a gain is the median over rounds of
the time of all models one by one to that of the stack in the same round. On a CPU a process for
each run is there besides, and two cores run two of them at once, while the stack is one process:
so both have the same threads here.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from benchmarks.contestants import Make, Setting, makers
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from unrolled.cells.base import Cell
from unrolled.recurrence.stack import Recurrence
from unrolled.runs.files import write_json
from unrolled.training.environment import describe_environment


class Loop(nn.Module):
    """A cell step by step, by its equations alone, which vmap can batch."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = self.cell.initial_state(x.shape[1], x)
        outputs = []
        for z in self.cell.project(x).unbind(0):
            state = self.cell.step(z, state)
            outputs.append(state[0])
        return torch.stack(outputs)


def one_by_one(models: Sequence[nn.Module], x: Tensor) -> Callable[[], None]:
    """A pass of every model forwards and backwards, one after the other."""
    with torch.no_grad():
        grad = torch.randn_like(models[0](x[0])[0])
    leaves = [weight for model in models for weight in model.parameters()]

    def once() -> None:
        for model, own in zip(models, x, strict=True):
            model(own)[0].backward(grad)
        for leaf in leaves:
            leaf.grad = None

    return once


def stacked(loops: list[nn.Module], x: Tensor) -> Callable[[], None]:
    """The same pass of all of them at once."""
    weights, buffers = stack_module_state(loops)
    like = loops[0]

    def call(weights: Any, buffers: Any, x: Tensor) -> Tensor:
        return cast(Tensor, functional_call(like, (weights, buffers), (x,)))

    run = vmap(call)
    with torch.no_grad():
        grad = torch.randn_like(run(weights, buffers, x))

    def once() -> None:
        run(weights, buffers, x).backward(grad)
        for leaf in weights.values():
            leaf.grad = None

    return once


def measure(
    name: str, make: Make, size: int, options: argparse.Namespace, setting: Setting
) -> dict[str, Any]:
    """A row of figures for one cell at one width."""
    count, device = options.models, setting.device
    alone = [setting.placed(Recurrence(make, size, size)) for _ in range(count)]
    loops = [setting.placed(Loop(make(size, size))) for _ in range(count)]
    x = torch.randn(count, options.length, options.batch, size, device=device)
    works = [one_by_one(alone, x), stacked(loops, x)]
    seconds: list[list[float]] = [[], []]
    for turn in range(options.repeats + 1):
        for own, work in zip(seconds, works, strict=True):
            setting.finish()
            started = time.perf_counter()
            work()
            setting.finish()
            # The first turn warms up.
            if turn:
                own.append(time.perf_counter() - started)
    gains = [before / after for before, after in zip(*seconds, strict=True)]
    return {
        "cell": name,
        "size": size,
        "backend": cast(Recurrence, alone[0]).backend_on(device, options.batch),
        "one_by_one_milliseconds": 1000 * statistics.median(seconds[0]),
        "stacked_milliseconds": 1000 * statistics.median(seconds[1]),
        "gain": statistics.median(gains),
        "gain_lowest": min(gains),
        "gain_highest": max(gains),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", default="rnn_tanh,gru,lstm")
    parser.add_argument("--sizes", default="16,32,64,128,256")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="also write JSON there")
    options = parser.parse_args(argv)
    if options.repeats < 1 or options.models < 2:
        parser.error("at least one repeat of at least two models is needed")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    setting = Setting(torch.device(options.device), torch.float32, options.batch)
    make = makers(options.cells.split(","))
    rows = []
    print("cell               size  backend    one by one    stacked    gain  lowest to highest")
    for name, make_cell in make.items():
        for size in map(int, options.sizes.split(",")):
            row = measure(name, make_cell, size, options, setting)
            rows.append(row)
            print(
                f"{name:<17} {size:>5}  {row['backend']:<9} "
                f"{row['one_by_one_milliseconds']:>8.1f} ms "
                f"{row['stacked_milliseconds']:>7.1f} ms "
                f"{row['gain']:>7.2f}  {row['gain_lowest']:.2f} to {row['gain_highest']:.2f}",
                flush=True,
            )
    if options.output:
        about = {
            "environment": describe_environment(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": {k: v for k, v in vars(options).items() if k != "output"},
        }
        write_json(options.output, {**about, "rows": rows})
        print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

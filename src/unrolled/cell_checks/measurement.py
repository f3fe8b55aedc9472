"""How large a cell is, and how fast against the native LSTM."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from unrolled.cells.base import Cell
from unrolled.cells.cost import flops, state_size
from unrolled.recurrence.stack import Recurrence

Make = Callable[[int, int], Cell]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; ``passed`` is None for a figure that is neither good nor bad."""

    check: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Size:
    """The layer whose cost is measured."""

    hidden_size: int = 256
    batch: int = 32
    length: int = 64
    repeats: int = 9


def measured_size(make: Make, width: int) -> Finding:
    cell = make(width, width)
    count = sum(parameter.numel() for parameter in cell.parameters())
    return Finding(
        f"size at width {width}",
        None,
        f"{count:,} parameters, {flops(cell):,} FLOPs per token, state of {state_size(cell):,}",
    )


def measured_speed(make: Make, size: Size) -> Finding:
    width = size.hidden_size
    layer = Recurrence(make, width, width)
    cell = next(cell for cell in layer.cells if isinstance(cell, Cell))
    peer = nn.LSTM(width, width)
    x = torch.randn(size.length, size.batch, width, requires_grad=True)

    def work(module: nn.Module) -> float:
        start = time.perf_counter()
        module(x)[0].sum().backward()
        return time.perf_counter() - start

    work(layer), work(peer)
    pairs = [(work(layer), work(peer)) for _ in range(size.repeats)]
    ratio = median(ours / theirs for ours, theirs in pairs)
    cost = flops(cell)
    per_flop = (
        f"{ratio * (2 * 4 * width * 2 * width) / cost:.2f} x per FLOP"
        if cost
        else ("no matrix product, so no time per FLOP")
    )
    backend = layer.backend_on(torch.device("cpu"), size.batch)
    return Finding(
        "speed",
        None,
        f"{ratio:.2f} x the native LSTM's time forwards and backwards ({backend}; {per_flop}; "
        f"batch {size.batch}, length {size.length}, median of {size.repeats} pairs)",
    )

"""The loop over time in compiled chunks of steps.

A chunk is traced once, with its products with recurrent weights as operations of our own: they go
to the fastest kernel, and their weights' gradients are gathered over all chunks as in the eager
loop. What lies between the products is fused by the compiler, forwards and backwards.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.recurrence.eager import Past
from unrolled.recurrence.products import Slot, product
from unrolled.recurrence.steps import Steps
from unrolled.recurrence.weights import Loop, lent

# Longer chunks take longer to compile (a whole loop of 64 steps a minute and more) and are hardly
# faster.
CHUNK = 8

# The chunks of each cell, by everything that a trace depends on.
_chunks: "WeakKeyDictionary[Cell, dict[tuple[Any, ...], Chunk]]" = WeakKeyDictionary()


def missing(device: torch.device) -> str | None:
    """Why nothing can be compiled for this device; None where it can."""
    if device.type == "cpu":
        found = any(shutil.which(name) for name in ("g++", "c++", "clang++"))
        return None if found else "it needs a C++ compiler, and there is none (install g++)"
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "it needs triton, which is not installed"
    return None if device.type == "meta" else f"it is not made for the device {device.type}"


def compiled_steps(
    cell: Cell,
    z: Tensor,
    steps: Steps,
    state: State,
    keep: State | None,
    loop: Loop,
    parameters: Mapping[str, Tensor],
) -> tuple[State, State]:
    """As ``eager_steps``; runs of ``CHUNK`` steps with the same sequences are compiled, and what
    is left over is not.

    Args:
        parameters: the cell's, with dropped weights in place of their own.
    """
    past = Past(cell, state, loop)
    rows = steps.split(z)
    kept: list[State] = [()] * len(rows)
    if keep is not None:
        kept = [*zip(*map(steps.split, keep), strict=True)]
    start = 0
    while start < len(rows):
        state = past.shrink(steps.sizes[start])
        stop = start + CHUNK
        if stop <= len(rows) and steps.sizes[stop - 1] == steps.sizes[start]:
            span = slice(start, stop)
            for new in _run(cell, rows[span], state, kept[span], loop, parameters):
                past.add(new)
            start = stop
        else:
            new = cell.step(rows[start], state)
            past.add(cell.mix(state, new, kept[start]) if keep is not None else new)
            start += 1
    return past.states(), past.final()


@dataclass(frozen=True)
class Chunk:
    """A compiled chunk of steps.

    Attributes:
        products: the weight and the bias (or None) of each product that is gathered, in the order
            in which the chunk takes them.
        read: where each product's factor is in the list of what goes in and what comes out.
        function: takes the projections, the state, what zoneout keeps, a row for each product and
            the parameters, all in one list; gives the states and what products read beside them.
    """

    products: tuple[tuple[str, str | None], ...]
    read: tuple[int, ...]
    function: Callable[[list[Tensor]], list[Tensor]]


class _Traced(Loop):
    """The loop as a trace sees it: a product adds its row and notes what it read."""

    def __init__(self, recurrent: Any, names: Mapping[int, str], rows: Iterator[Tensor]) -> None:
        super().__init__(None, recurrent)
        self.names = names
        self.own_rows = rows
        self.products: list[tuple[str, str | None]] = []
        self.read: list[Tensor] = []
        self.places: tuple[int, ...] = ()

    def product(self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        if weight.dim() == 3:
            return x @ weight
        if x.dim() != 2 or torch.is_autocast_enabled(x.device.type):
            return F.linear(x, weight, bias)
        if bias is not None and id(bias) not in self.names:
            return self.product(name, weight, x, None) + bias
        self.products.append((name, None if bias is None else self.names[id(bias)]))
        self.read.append(x)
        row = next(self.own_rows, None)
        # The row is zero, or the bias, and its gradient is the product's.
        y = product(x, weight.detach())
        return y if row is None else y + row


def _run(
    cell: Cell,
    zs: tuple[Tensor, ...],
    state: State,
    kept: list[State],
    loop: Loop,
    parameters: Mapping[str, Tensor],
) -> list[State]:
    """The states of a chunk of steps."""
    flat = [*zs, *state, *(k for keep in kept for k in keep)]
    autocast = torch.is_autocast_enabled(zs[0].device.type)
    key = (
        tuple((part.shape, part.dtype, part.device) for part in flat),
        len(zs),
        autocast,
        cell.training,
    )
    chunks = _chunks.setdefault(cell, {})
    if key not in chunks:
        chunks[key] = _compile(cell, zs, state, kept, parameters)
    chunk = chunks[key]
    rows, slots = [], []
    for weight, bias in chunk.products:
        slot: Slot = []
        gathered = loop.gathered(
            weight, parameters[weight], None if bias is None else parameters[bias]
        )
        rows.append(gathered.row(len(zs[0]), slot))
        slots.append(slot)
    out = chunk.function([*flat, *rows, *parameters.values()])
    known = [*flat, *out]
    for slot, place in zip(slots, chunk.read, strict=True):
        slot.append(known[place].detach())
    return [tuple(out[t * len(state) : (t + 1) * len(state)]) for t in range(len(zs))]


def _compile(
    cell: Cell,
    zs: tuple[Tensor, ...],
    state: State,
    kept: list[State],
    parameters: Mapping[str, Tensor],
) -> Chunk:
    """Trace and compile a chunk of so many steps of such shapes."""
    parts, kinds = len(state), len(kept[0])
    loops: list[_Traced] = []

    def advance(flat: list[Tensor]) -> list[Tensor]:
        given = flat[: len(zs) * (1 + kinds) + parts]
        left = iter(flat)
        zs_ = [next(left) for _ in zs]
        state_: State = tuple(next(left) for _ in range(parts))
        kept_ = [tuple(next(left) for _ in range(kinds)) for _ in zs_]
        products = len(flat) - len(zs) - parts - len(zs) * kinds - len(parameters)
        rows = iter([next(left) for _ in range(products)])
        own = dict(zip(parameters, left, strict=True))
        names = {id(tensor): name for name, tensor in own.items()}
        loop = _Traced(cell.recurrent_weights, names, rows)
        loops.append(loop)
        out: list[Tensor] = []
        with lent(cell, loop, own):
            loop.rows = len(zs_[0])
            for z, keep in zip(zs_, kept_, strict=True):
                new = cell.step(z, state_)
                state_ = cell.mix(state_, new, keep) if keep else new
                out.extend(state_)
        known = {id(tensor): place for place, tensor in enumerate([*given, *out])}
        for x in loop.read:
            if id(x) not in known:
                known[id(x)] = len(given) + len(out)
                out.append(x)
        loop.places = tuple(known[id(x)] for x in loop.read)
        return out

    example = [*zs, *state, *(k for keep in kept for k in keep)]
    own = [tensor.detach() for tensor in parameters.values()]
    example = [tensor.detach() for tensor in example]
    with torch.no_grad():
        # Once to see the products, once to trace with a row for each.
        advance([*example, *own])
        seen = loops[0]
        rows = [
            x.new_zeros(len(x), len(parameters[weight]))
            for x, (weight, _) in zip(seen.read, seen.products, strict=True)
        ]
        graph = make_fx(advance)([*example, *rows, *own])
    function = torch.compile(graph, fullgraph=True, dynamic=False)
    return Chunk(tuple(seen.products), seen.places, function)

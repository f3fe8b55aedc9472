"""The loop over time in compiled chunks of steps.

A chunk is traced once, with its products with recurrent weights as operations of our own: they go
to the fastest kernel, and their weights' gradients are accumulated over all chunks as in the eager
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
from unrolled.recurrence.parameters import PassProducts, wrapped_parameters
from unrolled.recurrence.products import LateInput, product
from unrolled.recurrence.steps import StateHistory, Steps

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
    products: PassProducts,
    parameters: Mapping[str, Tensor],
) -> tuple[State, State]:
    """As the eager loop; runs of ``CHUNK`` steps with the same sequences are compiled, and what
    is left over is not.

    Args:
        parameters: the cell's, with dropped weights in place of their own.
    """
    history = StateHistory(cell, state)
    rows = steps.split(z)
    kept: list[State] = [()] * len(rows)
    if keep is not None:
        kept = [*zip(*map(steps.split, keep), strict=True)]
    start = 0
    while start < len(rows):
        products.sequences = steps.sizes[start]
        state = history.of_first(steps.sizes[start])
        stop = start + CHUNK
        if stop <= len(rows) and steps.sizes[stop - 1] == steps.sizes[start]:
            span = slice(start, stop)
            for new in _run(cell, rows[span], state, kept[span], products, parameters):
                history.add(new)
            start = stop
        else:
            new = cell.step(rows[start], state)
            history.add(cell.apply_zoneout(state, new, kept[start]) if kept[start] else new)
            start += 1
    return history.states(), history.final()


@dataclass(frozen=True)
class Chunk:
    """A compiled chunk of steps.

    Attributes:
        products: the weight and the bias (or None) of each product, in the order in which the
            chunk takes them.
        inputs: where each product's input is in the list of what goes in and what comes out.
        function: takes the projections, the state, what zoneout keeps, an addend for each product
            and the parameters, all in one list; gives the states and the products' inputs that are
            not among them.
    """

    products: tuple[tuple[str, str | None], ...]
    inputs: tuple[int, ...]
    function: Callable[[list[Tensor]], list[Tensor]]


class _TracedProducts(PassProducts):
    """The products of a trace: each adds what it is given, and notes its input."""

    def __init__(self, names: Mapping[int, str], addends: Iterator[Tensor]) -> None:
        super().__init__()
        self.names = names
        self.addends = addends
        self.found: list[tuple[str, str | None]] = []
        self.inputs: list[Tensor] = []
        self.places: tuple[int, ...] = ()

    def multiply(self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        if weight.dim() == 3:
            return x @ weight
        if x.dim() != 2 or torch.is_autocast_enabled(x.device.type):
            return F.linear(x, weight, bias)
        if bias is not None and id(bias) not in self.names:
            return self.multiply(name, weight, x, None) + bias
        self.found.append((name, None if bias is None else self.names[id(bias)]))
        self.inputs.append(x)
        addend = next(self.addends, None)
        # The addend is zero, or the bias, and its gradient is the product's.
        y = product(x, weight.detach())
        return y if addend is None else y + addend


def _run(
    cell: Cell,
    zs: tuple[Tensor, ...],
    state: State,
    kept: list[State],
    products: PassProducts,
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
    addends, inputs = [], []
    for weight, bias in chunk.products:
        late: LateInput = []
        accumulated = products.accumulated(
            weight, parameters[weight], None if bias is None else parameters[bias]
        )
        addends.append(accumulated.addend(len(zs[0]), late))
        inputs.append(late)
    out = chunk.function([*flat, *addends, *parameters.values()])
    known = [*flat, *out]
    for late, place in zip(inputs, chunk.inputs, strict=True):
        late.append(known[place].detach())
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
    passes: list[_TracedProducts] = []

    def advance(flat: list[Tensor]) -> list[Tensor]:
        given = flat[: len(zs) * (1 + kinds) + parts]
        left = iter(flat)
        zs_ = [next(left) for _ in zs]
        state_: State = tuple(next(left) for _ in range(parts))
        kept_ = [tuple(next(left) for _ in range(kinds)) for _ in zs_]
        count = len(flat) - len(given) - len(parameters)
        addends = iter([next(left) for _ in range(count)])
        own = dict(zip(parameters, left, strict=True))
        products = _TracedProducts({id(tensor): name for name, tensor in own.items()}, addends)
        passes.append(products)
        out: list[Tensor] = []
        with wrapped_parameters(cell, products, own):
            for z, keep in zip(zs_, kept_, strict=True):
                new = cell.step(z, state_)
                state_ = cell.apply_zoneout(state_, new, keep) if keep else new
                out.extend(state_)
        known = {id(tensor): place for place, tensor in enumerate([*given, *out])}
        for x in products.inputs:
            if id(x) not in known:
                known[id(x)] = len(given) + len(out)
                out.append(x)
        products.places = tuple(known[id(x)] for x in products.inputs)
        return out

    example = [*zs, *state, *(k for keep in kept for k in keep)]
    own = [tensor.detach() for tensor in parameters.values()]
    example = [tensor.detach() for tensor in example]
    with torch.no_grad():
        # Once to see the products, once to trace with an addend for each.
        advance([*example, *own])
        seen = passes[0]
        addends = [
            x.new_zeros(len(x), len(parameters[weight]))
            for x, (weight, _) in zip(seen.inputs, seen.found, strict=True)
        ]
        graph = make_fx(advance)([*example, *addends, *own])
    function = torch.compile(graph, fullgraph=True, dynamic=False)
    return Chunk(tuple(seen.found), seen.places, function)

"""A cell's step as the operations on each sequence by itself that are left of it, forwards and
backwards, once its products with weights are taken out.

A step is traced on tensors without values, so whatever decides by a value, draws a random number
or is in another library is seen here, and leaves the cell to the plain loop. What reads parameters
alone (a transposition, a mask on a weight, a rate's exponential) is the same in every step: it is
taken out, too, and is PyTorch's, once a pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from unrolled.cells.base import Cell
from unrolled.recurrence.generated.operations import CONSTANTS, PRODUCTS, Node, made_of
from unrolled.recurrence.generated.tracing import (
    SEQUENCES,
    UnsupportedStepError,
    Untouched,
    shape_of,
    tensors_of,
    traced,
)
from unrolled.recurrence.parameters import replaced_parameters


@dataclass(frozen=True)
class Product:
    """A product of a step with a matrix.

    Attributes:
        matrix: which of ``Equations.given`` it is, ``[reads, gives]``.
        state: the part of the state that it reads as it is; None: it reads something computed.
    """

    matrix: int
    reads: int
    gives: int
    state: int | None


@dataclass(frozen=True)
class Equations:
    """A step between its products.

    Attributes:
        prepare: gives from parameters and buffers what the steps read of them.
        names: of the parameters and buffers that it takes.
        given: the shapes of what it gives.
        vectors: which of that is read number by number.
        products: in the order in which they are computed.
        projected: the width of the projected input; states: of each part of the state.
        zoneout: whether it keeps a share of each part of the state.
        graph: computes all of ``outputs`` from ``inputs``, both by name: ``z``, ``state 0``,
            ``keep 0`` with zoneout, ``vector 0``, ``product 0``; backwards the gradients that
            reach the new state, ``given 0``, and that of what a product read, ``to read 0``. It
            gives what the products read, ``read 0``, the new state, ``new 0``; and the gradients
            of the products, of the input, of the state before and of the vectors: ``to product
            0``, ``to z``, ``to state 0``, ``to vector 0``. An output that is None is zero.
    """

    prepare: fx.GraphModule
    names: tuple[str, ...]
    given: tuple[tuple[int, ...], ...]
    vectors: tuple[int, ...]
    products: tuple[Product, ...]
    projected: int
    states: tuple[int, ...]
    zoneout: bool
    graph: fx.Graph
    inputs: Mapping[str, Node]
    outputs: Mapping[str, Node | None]

    @property
    def projected_as(self) -> int | None:
        """The product whose gradient is the projected input's, too; None where that is its own."""
        of_z = self.outputs["to z"]
        products = range(len(self.products))
        return next((i for i in products if self.outputs[f"to product {i}"] is of_z), None)


def trace(cell: Cell, *, zoneout: bool = False) -> Equations:
    """The equations of a cell's step.

    Args:
        zoneout: whether a share of each part of the state stays as it was.

    Raises:
        UnsupportedStepError: there is something in it that they do not have.
    """
    tensors = tensors_of(cell)
    if not tensors:
        raise UnsupportedStepError("it has no parameters, which tell the type of its numbers")
    _require_fp32(tensors.values())
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        width = cell.project(torch.zeros(2, cell.window * cell.input_size)).shape[-1]
        z = torch.empty(SEQUENCES, width)
        state = cell.initial_state(SEQUENCES, z)
    _require_fp32(state)
    if any(SEQUENCES in one.shape for one in tensors.values()):
        raise UnsupportedStepError(f"a parameter has the size {SEQUENCES}, which a trace needs")
    shapes = [part.shape for part in state]
    keep = tuple(map(torch.clone, state)) if zoneout else ()

    def step(z: Tensor, *rest: Tensor) -> list[Tensor]:
        parts, own = rest[: len(state)], rest[len(state) + len(keep) :]
        with replaced_parameters(cell, dict(zip(tensors, own, strict=True))):
            new = cell.step(z, parts)
        if [part.shape for part in new] != shapes or any(p.dtype != z.dtype for p in new):
            raise UnsupportedStepError("its new state has another shape or type than the old")
        return [
            *(cell.apply_zoneout(parts, new, rest[len(state) :][: len(keep)]) if keep else new)
        ]

    # Whatever a step draws is not to change what is drawn in training.
    with Untouched(cell) as attributes, torch.no_grad(), torch.random.fork_rng(devices=[]):
        graph = traced(step, [z, *state, *keep, *(one.detach() for one in tensors.values())])
    if attributes.changed:
        raise UnsupportedStepError("it sets attributes of its cell")
    return _equations(_Step(graph, len(state), len(keep)), tuple(tensors), [z, *state, *keep])


def _require_fp32(tensors: Iterable[Tensor]) -> None:
    for dtype in {one.dtype for one in tensors} - {torch.float32}:
        raise UnsupportedStepError(f"it has numbers in {str(dtype).removeprefix('torch.')}")


class _Step:
    """A traced step, taken apart.

    Args:
        parts: how many parts the state has; kept: how many of them zoneout keeps a share of.
    """

    def __init__(self, graph: fx.Graph, parts: int, kept: int) -> None:
        self.nodes = [node for node in graph.nodes if node.op != "output"]
        found = [node for node in self.nodes if node.op == "placeholder"]
        self.inputs = found[: 1 + parts + kept]
        self.states = self.inputs[1 : 1 + parts]
        self.new = next(node for node in graph.nodes if node.op == "output").args[0]
        self.rows = self._rows()
        # What is computed for each sequence, in order; and what that reads of the rest, as what.
        self.computed = [one for one in self.nodes if one in self.rows and one not in self.inputs]
        self.products = [node for node in self.computed if node.target in PRODUCTS]
        self.matrices: dict[Node, int] = {}
        self.vectors: dict[Node, int] = {}
        for node in self.computed:
            matrix = self._matrix(node) if node in self.products else None
            if matrix is not None:
                self.matrices.setdefault(matrix, len(self.matrices))
            for one in node.all_input_nodes:
                if one not in self.rows and one is not matrix:
                    self.vectors.setdefault(one, len(self.vectors))
        if any(one not in self.rows for one in self.new):
            raise UnsupportedStepError("its new state reads neither the state nor the input")

    def _rows(self) -> set[Node]:
        """What each sequence has one of."""
        rows = set(self.inputs)
        for node in self.nodes:
            if node.op == "get_attr":
                raise UnsupportedStepError("it reads a tensor that is no parameter and no buffer")
            made = node.target in CONSTANTS and SEQUENCES in shape_of(node)
            if made or any(one in rows for one in node.all_input_nodes):
                rows.add(node)
            elif node.op != "placeholder" and SEQUENCES in shape_of(node):
                raise UnsupportedStepError("it repeats a parameter for each sequence")
        return rows

    def _matrix(self, product: Node) -> Node:
        x, matrix = product.args[-2:]
        if x not in self.rows or matrix in self.rows or product.kwargs:
            raise UnsupportedStepError("it multiplies two of the sequence's own matrices")
        return matrix

    @property
    def given(self) -> list[Node]:
        """What the steps read of parameters."""
        return [*self.matrices, *self.vectors]

    def made_of(self) -> tuple[Product, ...]:
        """The products."""
        made = []
        for node in self.products:
            x, matrix = node.args[-2:]
            reads, gives = shape_of(matrix)
            state = self.states.index(x) if x in self.states else None
            made.append(Product(self.matrices[matrix], reads, gives, state))
        return tuple(made)

    def prepare(self) -> fx.GraphModule:
        """What gives ``given`` from the parameters."""
        made = fx.Graph()
        copies: dict[Node, Node] = {}
        for node in self.nodes:
            if node not in self.rows:
                copies[node] = made.node_copy(node, copies.__getitem__)
        made.output([copies[one] for one in self.given])
        made.eliminate_dead_code()
        return fx.GraphModule(nn.Module(), made)

    def compute(self, values: dict[Node, Any], gives: Sequence[Tensor]) -> list[Tensor]:
        """Fill in what is computed, and return what the products read.

        Args:
            values: of the inputs and the vectors.
            gives: what the products give, but for what is added to it.
        """
        reads = []
        for node in self.computed:
            if node in self.products:
                reads.append(values[node.args[-2]])
                value: Any = gives[len(reads) - 1]
                if len(node.args) == 3:
                    value = value + values[node.args[0]]
            else:
                args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
                value = node.target(*args, **kwargs)
            values[node] = value
        return reads


def _both_ways(step: _Step, example: Sequence[Tensor]) -> fx.Graph:
    """All that a step and its gradient compute between products."""
    vectors, products, new = [*step.vectors], step.products, step.new

    def compute(*flat: Tensor) -> list[Tensor | None]:
        left = iter(flat)
        counts = len(step.inputs), len(vectors), len(products), len(new), len(products)
        inputs, own, gives, to_new, to_reads = ([next(left) for _ in range(n)] for n in counts)
        leaves = [one.detach().requires_grad_() for one in inputs[: 1 + len(new)]]
        own = [one.detach().requires_grad_() for one in own]
        gives = [one.detach().requires_grad_() for one in gives]
        given = [*leaves, *inputs[len(leaves) :], *own]
        values = dict(zip([*step.inputs, *vectors], given, strict=True))
        reads = step.compute(values, gives)
        # From the last product to the first, each of whose gradients needs those after it.
        ends, grads = [values[one] for one in new], to_new
        to_products: list[Tensor | None] = []
        for read, give, to_read in zip(reads[::-1], gives[::-1], to_reads[::-1], strict=True):
            to_products.append(_grad(ends, [give], grads)[0])
            ends, grads = [*ends, read], [*grads, to_read]
        last = _grad(ends, [*leaves, *own], grads)
        return [*reads, *(values[one] for one in new), *to_products[::-1], *last]

    with torch.enable_grad():
        return traced(compute, example, made_of())


def _equations(step: _Step, names: tuple[str, ...], example: Sequence[Tensor]) -> Equations:
    """The equations of a step that was traced with this input, state, and what zoneout keeps."""
    products, given = step.made_of(), tuple(map(shape_of, step.given))
    z, *rest = example
    state = rest[: len(step.states)]
    graph = _both_ways(
        step,
        [
            *example,
            *map(torch.empty, map(shape_of, step.vectors)),
            *(torch.empty(SEQUENCES, one.gives) for one in products),
            # Tensors of their own: two that are one tensor would be one input of the trace.
            *map(torch.clone, state),
            *(torch.empty(SEQUENCES, one.reads) for one in products),
        ],
    )
    counts = {"state": len(state), "keep": len(rest) - len(state), "vector": len(step.vectors)}
    counts |= {"new": len(state), "given": len(state)}
    counts |= dict.fromkeys(("product", "read", "to read"), len(products))

    def numbered(*names: str) -> list[str]:
        return [f"{name} {i}" for name in names for i in range(counts[name])]

    inputs = ["z", *numbered("state", "keep", "vector", "product", "given", "to read")]
    outputs = numbered("read", "new")
    outputs += [f"to {name}" for name in (*numbered("product"), "z", *numbered("state", "vector"))]
    found = [node for node in graph.nodes if node.op == "placeholder"]
    results: Any = next(node for node in graph.nodes if node.op == "output").args[0]
    return Equations(
        step.prepare(),
        names,
        given,
        tuple(range(len(step.matrices), len(given))),
        products,
        z.shape[-1],
        tuple(part.shape[-1] for part in state),
        len(rest) > len(state),
        graph,
        dict(zip(inputs, found, strict=True)),
        dict(zip(outputs, results, strict=True)),
    )


def _grad(
    ends: Sequence[Tensor], leaves: Sequence[Tensor], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    pairs = [(end, grad) for end, grad in zip(ends, grads, strict=True) if end.requires_grad]
    if not pairs:
        return [None] * len(leaves)
    some_ends, some_grads = zip(*pairs, strict=True)
    return [
        *torch.autograd.grad(some_ends, leaves, some_grads, retain_graph=True, allow_unused=True)
    ]

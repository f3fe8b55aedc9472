"""What lies between two products of a step, as a C function of one sequence."""

import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from unrolled.recurrence.generated.operations import (
    CONSTANTS,
    CUTS,
    FILLED,
    JOINED,
    MOVES,
    OPERATIONS,
    PARTS,
    REDUCTIONS,
    SPREADS,
    UNCHANGED,
    WHOLE,
    Node,
    aten,
    literal,
)
from unrolled.recurrence.generated.tracing import SEQUENCES, UnsupportedStepError, shape_of

# In how many pieces a row may be put in another order.
PIECES = 64


@dataclass(frozen=True)
class Numbers:
    """Where the numbers of a value are: ``size`` of them from ``offset`` on, or one for all.

    Attributes:
        array: a C array; None where ``node`` is computed, or ``text`` is a number.
        node: the operation that computes them.
        loop: from which loop on they are there.
    """

    size: int
    array: str | None = None
    offset: int = 0
    node: Node | None = None
    text: str | None = None
    loop: int = -1


@dataclass
class _Loop:
    size: int
    lines: list[str] = field(default_factory=list)
    # Set where the loop adds up: what is before and after it.
    before: str = ""
    after: str = ""


class Segment:
    """The function that computes some outputs.

    Values of one width are computed in one loop where no one of them needs all of another.

    Args:
        inputs: each input's C array, by its node.
    """

    def __init__(self, inputs: Mapping[Node, str]) -> None:
        self.values: dict[Node, Any] = {}
        for node, name in inputs.items():
            self.values[node] = Numbers(_size(node), name)
        self.loops: list[_Loop] = []
        self.stored: dict[str, int] = {}
        # The loop that computes each value.
        self.homes: dict[Node, int] = {}
        # What is joined where an output is to be.
        self.joined_in: dict[Node, str] = {}

    def write(self, outputs: Mapping[str, Node], added: Mapping[str, Node]) -> list[str]:
        """The lines of the function's body.

        Args:
            outputs: what each array gets.
            added: what is added to each array, from a sum over all sequences.
        """
        self.joined_in = {node: array for array, node in outputs.items() if node.target in JOINED}
        for node in _needed([*outputs.values(), *added.values()]):
            if node not in self.values:
                try:
                    self.values[node] = self._value(node)
                except (LookupError, TypeError, ValueError) as error:
                    # An operation called in a way that nobody has thought of.
                    raise UnsupportedStepError(f"{node.format_node()}: {error}") from error
        for array, node in outputs.items():
            if self.joined_in.get(node) != array:
                self._copy(self._numbers(node), array, 0, "=")
        for array, node in added.items():
            for one in self._summands(node):
                self._copy(one, array, 0, "+=")
        lines = [f"float {name}[{size}];" for name, size in self.stored.items()]
        for loop in self.loops:
            lines += [loop.before] if loop.before else []
            lines += [
                *([] if loop.before else ['_Pragma("GCC ivdep")']),
                f"for (long j = 0; j < {loop.size}; j++) {{",
                *loop.lines,
                "}",
            ]
            lines += [loop.after] if loop.after else []
        return lines

    def _value(self, node: Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self.values[node.args[0]][node.args[1]]
        if target in CONSTANTS or target in FILLED:
            return self._constant(node)
        # Whole numbers are constants before they are widened.
        whole = _dtype(node) == torch.int64 and (target in WHOLE or target in CONSTANTS)
        if _dtype(node) not in (torch.float32, torch.bool, None) and not whole:
            raise UnsupportedStepError(f"{target} in {_dtype(node)}")
        if target in SPREADS or target in UNCHANGED:
            source = self.values[node.args[0]]
            if isinstance(source, list) and target in UNCHANGED:
                return source
            if isinstance(source, Numbers) and source.size in (1, _size(node)):
                return source
        elif target in CUTS:
            return self._part(node)
        elif target in MOVES:
            return self._moved(node)
        elif target in JOINED:
            return self._cat(node) if target is aten.cat.default else self._scattered(node)
        elif target in REDUCTIONS:
            return self._reduced(node)
        elif target in OPERATIONS:
            if any(isinstance(self.values.get(one), list) for one in node.all_input_nodes):
                return self._of_sums(node)
            return self._computed(node)
        raise UnsupportedStepError(f"{target} of {[*map(shape_of, node.all_input_nodes)]}")

    def _computed(self, node: Node) -> Numbers:
        if unknown := {*node.kwargs} - {"alpha", "value"}:
            raise UnsupportedStepError(f"{node.target} with {', '.join(unknown)}")
        size, sources = _size(node), {}
        start = 0
        for one in node.all_input_nodes:
            numbers = self._numbers(one)
            if numbers.size not in (1, size):
                raise UnsupportedStepError(
                    f"{node.target} of {shape_of(one)} and {shape_of(node)}"
                )
            sources[one] = numbers
            start = max(start, self._from(numbers, size))
        at = self._loop(size, start)

        def named(one: Any) -> Any:
            if isinstance(one, fx.Node):
                return self._read(sources[one], size, at, _dtype(one) == torch.bool)
            return literal(one)

        args = [named(one) for one in node.args]
        kwargs = {key: named(value) for key, value in node.kwargs.items()}
        while args and args[-1] is None:
            args.pop()
        kind = "int" if _dtype(node) == torch.bool else "float"
        written = OPERATIONS[node.target](*args, **kwargs)
        self.loops[at].lines.append(f"const {kind} {_name(node)} = {written};")
        self.homes[node] = at
        return Numbers(size, node=node, loop=at)

    def _from(self, numbers: Numbers, size: int) -> int:
        """The first loop that may read them number by number."""
        if numbers.node is not None and numbers.size == size and size == self._width(numbers):
            return numbers.loop
        return numbers.loop + 1

    def _width(self, numbers: Numbers) -> int:
        assert numbers.node is not None
        return self.loops[self.homes[numbers.node]].size

    def _loop(self, size: int, start: int) -> int:
        for at in range(start, len(self.loops)):
            if self.loops[at].size == size and not self.loops[at].before:
                return at
        self.loops.append(_Loop(size))
        return len(self.loops) - 1

    def _read(self, numbers: Numbers, size: int, at: int, boolean: bool = False) -> str:
        """An expression for them in loop ``at`` over ``size`` numbers."""
        if numbers.text is not None:
            return numbers.text
        if numbers.node is not None:
            if self.homes[numbers.node] == at and numbers.offset == 0 and numbers.size == size:
                return _name(numbers.node)
            numbers = self._stored(numbers)
        place = "j" if numbers.size == size else "0"
        if numbers.size == size == 1:
            place = "0"
        place = f"{numbers.offset} + {place}" if numbers.offset else place
        read = f"{numbers.array}[{place}]"
        return f"({read} != 0.0f)" if boolean else read

    def _stored(self, numbers: Numbers) -> Numbers:
        """The same in an array."""
        node = numbers.node
        if node is None:
            return numbers
        array, home = f"t_{_name(node)}", self.homes[node]
        if array not in self.stored:
            self.stored[array] = self.loops[home].size
            self.loops[home].lines.append(f"{array}[j] = {_name(node)};")
        return Numbers(numbers.size, array, numbers.offset, loop=home)

    def _copy(self, numbers: Numbers, array: str, offset: int, sign: str) -> int:
        """Write numbers to an array; the loop that does."""
        at = self._loop(numbers.size, max(0, self._from(numbers, numbers.size)))
        place = f"{offset} + j" if offset else "j"
        read = self._read(numbers, numbers.size, at)
        self.loops[at].lines.append(f"{array}[{place}] {sign} {read};")
        return at

    def _constant(self, node: Node) -> Numbers:
        target = node.target
        if target in FILLED:
            value = FILLED[target]
        elif target is aten.full.default:
            value = node.args[1]
        elif target is aten.new_full.default:
            value = node.args[2]
        elif target is aten.scalar_tensor.default:
            value = node.args[0]
        else:
            value = 1.0 if "ones" in str(target) else 0.0
        return Numbers(_size(node), text=literal(value))

    def _part(self, node: Node) -> Any:
        """A part of each sequence's numbers."""
        source, *more = node.args
        shape, numbers = shape_of(source), self._numbers(source)
        if node.target in PARTS:
            dim = more[1] if len(more) > 1 else node.kwargs.get("dim", 0)
            sizes = [value.shape[dim] for value in node.meta["val"]]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
        elif node.target is aten.select.int:
            dim, place = more
            starts, sizes = [place % shape[dim]], [1]
        else:
            dim, first, _, stride = _filled(more)
            if stride != 1:
                raise UnsupportedStepError("it takes every other number of a row")
            sizes = [shape_of(node)[dim]]
            if sizes[0] == shape[dim]:
                return numbers
            first = first or 0
            starts = [min(first + shape[dim] if first < 0 else first, shape[dim])]
        inner = _inner(shape, dim)
        pairs = zip(starts, sizes, strict=True)
        parts = tuple(self._cut(numbers, at * inner, size * inner) for at, size in pairs)
        return parts if node.target in PARTS else parts[0]

    def _cut(self, numbers: Numbers, start: int, size: int) -> Numbers:
        if numbers.text is not None:
            return Numbers(size, text=numbers.text)
        held = self._stored(numbers)
        return Numbers(size, held.array, held.offset + start, loop=held.loop)

    def _scattered(self, node: Node) -> Numbers:
        """A row with a part that is another's."""
        base, piece = (self._numbers(one) for one in node.args[:2])
        shape, more = shape_of(node), node.args[2:]
        dim, start, _, stride = _filled(more)
        if stride != 1:
            raise UnsupportedStepError("it sets every other number of a row")
        start = (start or 0) % shape[dim] * _inner(shape, dim)
        pieces = [(piece, start)]
        for begin, end in ((0, start), (start + piece.size, _size(node))):
            if end > begin:
                pieces.append((self._cut(base, begin, end - begin), begin))
        return self._joined(node, pieces)

    def _cat(self, node: Node) -> Numbers:
        parts, *dim = node.args
        _inner(shape_of(node), dim[0] if dim else 0)
        pieces, start = [], 0
        for one in parts:
            numbers = self._numbers(one)
            if numbers.size != _size(one):
                raise UnsupportedStepError("it joins what is one number for all")
            pieces.append((numbers, start))
            start += numbers.size
        return self._joined(node, pieces)

    def _moved(self, node: Node) -> Numbers:
        """A row whose dimensions are in another order, in pieces that stay together."""
        source, *more = node.args
        shape, numbers = shape_of(source), self._numbers(source)
        order = [*range(len(shape))]
        if node.target is aten.permute.default:
            order = [dim % len(shape) for dim in more[0]]
        else:
            one, other = more
            order[one], order[other] = order[other], order[one]
        own = [dim for dim in order if shape[dim] != SEQUENCES and shape[dim] > 1]
        if own == sorted(own) or numbers.size == 1:
            return numbers
        steps = {dim: _inner_of(shape, dim) for dim in own}
        whole = 1
        # From the last dimension on, as long as they follow each other as before.
        while own and steps[own[-1]] == whole:
            whole *= shape[own.pop()]
        places = [*itertools.product(*(range(shape[dim]) for dim in own))]
        if len(places) > PIECES:
            raise UnsupportedStepError(f"it turns {shape} to {shape_of(node)}")
        pieces = []
        for count, place in enumerate(places):
            start = sum(steps[dim] * at for dim, at in zip(own, place, strict=True))
            pieces.append((self._cut(numbers, start, whole), count * whole))
        return self._joined(node, pieces)

    def _joined(self, node: Node, pieces: Sequence[tuple[Numbers, int]]) -> Numbers:
        array = self.joined_in.get(node)
        if array is None:
            array = f"t_{_name(node)}"
            self.stored[array] = _size(node)
        ends = [self._copy(numbers, array, start, "=") for numbers, start in pieces]
        return Numbers(_size(node), array, loop=max(ends))

    def _reduced(self, node: Node) -> Any:
        """Over each sequence's numbers; a sum also over the sequences, or both."""
        source, *more = node.args
        shape, numbers, size = shape_of(source), self._numbers(source), _size(source)
        batch = shape.index(SEQUENCES)
        dims = (more[0] if more else node.kwargs.get("dim")) or range(len(shape))
        over = {dim % len(shape) for dim in dims}
        own = {dim for dim, one in enumerate(shape) if dim != batch and one > 1}
        sums = node.target in (aten.sum.dim_IntList, aten.sum.default)
        if (own & over and not own <= over) or (batch in over and not sums):
            raise UnsupportedStepError(f"{node.target} over some dimensions of {shape}")
        if not own & over and not sums:
            raise UnsupportedStepError(f"{node.target} of one number")
        if sums:
            if own & over:
                numbers = self._added(node, numbers, size, "")
            return [numbers] if batch in over else numbers
        if node.target is aten.amax.default:
            return self._added(node, numbers, size, "", sign="largest", first="-INFINITY")
        mean = self._added(node, numbers, size, f" / {size}.0f", suffix="_mean")
        if node.target is aten.mean.dim:
            return mean
        less = node.kwargs.get("correction", 1)
        by = f" / {float(size) - float(1 if less is None else less)}f"
        variance = self._added(
            node, numbers, size, by, suffix="_variance", centre=f"{mean.array}[0]"
        )
        return variance if node.target is aten.var.correction else (variance, mean)

    def _added(
        self,
        node: Node,
        numbers: Numbers,
        size: int,
        scale: str,
        *,
        sign: str = "+=",
        first: str = "0.0f",
        suffix: str = "",
        centre: str = "",
    ) -> Numbers:
        """One number from all, in a loop of its own after all others.

        Args:
            scale: what is done with it in the end.
            sign: how one comes to another, or the name of a function of both.
            first: what they come to.
            centre: what each is apart from, squared; none: each itself.
        """
        array = f"t_{_name(node)}{suffix}"
        self.stored[array] = 1
        held = self._stored(numbers)
        self.loops.append(_Loop(size))
        at = len(self.loops) - 1
        read = self._read(held, size, at)
        if centre:
            read = f"({read} - {centre}) * ({read} - {centre})"
        # Sums go as many numbers apart as a vector has.
        pragma = '_Pragma("omp simd reduction(+:sum)")' if sign == "+=" else ""
        self.loops[at].before = f"{{ float sum = {first}; {pragma}"
        line = f"sum += {read};" if sign == "+=" else f"sum = {sign}(sum, {read});"
        self.loops[at].lines.append(line)
        self.loops[at].after = f"{array}[0] = sum{scale}; }}"
        return Numbers(1, array, loop=at)

    def _of_sums(self, node: Node) -> list[Numbers]:
        """Sums over sequences, together."""
        if node.target is aten.add.Tensor and not node.kwargs:
            return [one for arg in node.args for one in self._summands(arg)]
        raise UnsupportedStepError(f"{node.target} of a sum over sequences")

    def _summands(self, node: Any) -> list[Numbers]:
        found = self.values[node]
        if not isinstance(found, list):
            raise UnsupportedStepError("a gradient that is no sum over sequences")
        return found

    def _numbers(self, node: Any) -> Numbers:
        found = self.values[node]
        if isinstance(found, Numbers):
            return found
        raise UnsupportedStepError("it reads a sum over sequences")


def _filled(more: Sequence[Any]) -> list[Any]:
    """The dimension, first and last place and stride of a slice, where they are not given."""
    return [*more, *(0, None, None, 1)[len(more) :]]


def _inner(shape: tuple[int, ...], dim: int) -> int:
    """How many numbers one place of a row's outermost dimension has; no other may be cut."""
    dim %= len(shape)
    outer = math.prod(one for one in shape[:dim] if one != SEQUENCES)
    if SEQUENCES not in shape or shape[dim] == SEQUENCES or outer != 1:
        raise UnsupportedStepError(f"it cuts or joins along dimension {dim} of {shape}")
    return _inner_of(shape, dim)


def _inner_of(shape: tuple[int, ...], dim: int) -> int:
    """How many numbers of a row lie between two places of a dimension."""
    return math.prod(one for one in shape[dim + 1 :] if one != SEQUENCES)


def _needed(ends: Sequence[Node]) -> list[Node]:
    """What is to be computed, in order."""
    seen: set[Node] = set()
    left = list(ends)
    while left:
        node = left.pop()
        if node not in seen:
            seen.add(node)
            left.extend(node.all_input_nodes)
    return [node for node in ends[0].graph.nodes if node in seen] if ends else []


def _dtype(node: Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else None


def _size(node: Any) -> int:
    """How many numbers a sequence has of it, or it has for all sequences."""
    return math.prod(one for one in shape_of(node) if one != SEQUENCES)


def _name(node: Node) -> str:
    return f"v_{node.name}"

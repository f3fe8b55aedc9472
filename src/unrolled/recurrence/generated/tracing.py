"""Tracing what a cell's step does, on tensors without values, and leaving the cell as it was."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from unrolled.cells.base import Cell
from unrolled.recurrence.generated.operations import CUTS, OPERATIONS, SPREADS, UNCHANGED, Node

# How many sequences a trace has: a number that no other size is.
SEQUENCES = 1009
# What may give a part of a tensor, and not a new one.
VIEWS = (*UNCHANGED, *CUTS, *SPREADS)


class UnsupportedStepError(Exception):
    """A step that C cannot be generated for; says why."""


def traced(
    function: Callable[..., list[Any]],
    example: Sequence[Tensor],
    decompositions: Mapping[Any, Any] | None = None,
) -> fx.Graph:
    """What a function computes, in operations that make new tensors.

    Args:
        decompositions: what operations are made of, for those that are to be taken apart.

    Raises:
        UnsupportedStepError: it cannot be traced, or changes tensors.
    """
    try:
        with torch.autocast("cpu", enabled=False):
            made = make_fx(function, tracing_mode="fake", decomposition_table=decompositions)(
                *example
            )
    except UnsupportedStepError:
        raise
    except Exception as error:
        # Whatever the code of a cell does on tensors without values, the plain loop does on real.
        why = str(error).strip().partition("\n")[0]
        raise UnsupportedStepError(
            f"it cannot be traced ({type(error).__name__}: {why})"
        ) from error
    _replace_changes(made.graph)
    _split_heads(made.graph)
    _join_equals(made.graph)
    made.graph.eliminate_dead_code()
    return made.graph


def _replace_changes(graph: fx.Graph) -> None:
    """Let what changes a tensor in place, as derivatives of PyTorch's do, make a new one."""
    passed: set[Node] = set()
    for node in [*graph.nodes]:
        passed.add(node)
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if node.op != "call_function" or not name.endswith("_") or name.startswith("__"):
            continue
        changed = node.args[0]
        instead: Any = getattr(torch.ops.aten, name[:-1], None)
        seen = any(user in passed and user.target in VIEWS for user in changed.users)
        if changed.target not in OPERATIONS or seen or (instead is None and name != "copy_"):
            raise UnsupportedStepError(f"it changes a tensor in place, by {name}")
        if name == "copy_":
            made = node.args[1]
        else:
            function = getattr(instead, node.target._overloadname)
            with graph.inserting_after(node):
                made = graph.call_function(function, node.args, node.kwargs)
            made.meta = dict(node.meta)
            passed.add(made)
        for old in (node, changed):
            old.replace_all_uses_with(made, lambda user: user not in passed)
        graph.erase_node(node)


def _split_heads(graph: fx.Graph) -> None:
    """Let a product with a matrix for each head be a product for each head."""
    for node in [*graph.nodes]:
        if node.target is not torch.ops.aten.bmm.default:
            continue
        x, weight = node.args
        heads, sequences, _ = shape_of(x)
        if sequences != SEQUENCES or SEQUENCES in shape_of(weight):
            continue

        def call(target: Any, *args: Any, shape: tuple[int, ...]) -> Node:
            made: Node = graph.call_function(target, args)
            made.meta["val"] = torch.empty(shape, device="meta")
            return made

        with graph.inserting_before(node):
            found = []
            for head in range(heads):
                read, own = (
                    call(torch.ops.aten.select.int, one, 0, head, shape=shape_of(one)[1:])
                    for one in (x, weight)
                )
                shape = (SEQUENCES, shape_of(weight)[-1])
                given = call(torch.ops.aten.mm.default, read, own, shape=shape)
                found.append(call(torch.ops.aten.unsqueeze.default, given, 0, shape=(1, *shape)))
            joined = call(torch.ops.aten.cat.default, found, 0, shape=shape_of(node))
        node.replace_all_uses_with(joined)
        graph.erase_node(node)


def _join_equals(graph: fx.Graph) -> None:
    """Let what is computed twice be computed once."""
    known: dict[Any, Node] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            first = known.setdefault((node.target, repr(node.args), repr(node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)


def shape_of(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def tensors_of(cell: Cell) -> dict[str, Tensor]:
    """Parameters and buffers; one with two names twice."""
    return {**_named(cell, "_parameters"), **_named(cell, "_buffers")}


def _named(cell: Cell, kind: str) -> dict[str, Tensor]:
    return {
        f"{path}.{key}" if path else key: tensor
        for path, module in cell.named_modules()
        for key, tensor in getattr(module, kind).items()
        if tensor is not None
    }


class Untouched:
    """Puts a cell's attributes back, and what its lists and dictionaries hold.

    Attributes:
        changed: whether there was something to put back.
    """

    def __init__(self, cell: Cell) -> None:
        own = [vars(module) for module in cell.modules()]
        holding = [one for held in own for one in held.values() if isinstance(one, list | dict)]
        self.before = [(one, one.copy()) for one in (*own, *holding)]
        self.changed = False

    def __enter__(self) -> "Untouched":
        return self

    def __exit__(self, *error: object) -> None:
        for now, before in self.before:
            if _same(now, before):
                continue
            self.changed = True
            now.clear()
            if isinstance(now, list):
                now.extend(before)
            else:
                now.update(before)


def _same(now: Any, before: Any) -> bool:
    pairs: Any = zip(now, before, strict=False)
    if isinstance(now, dict):
        pairs = ((now[key], before.get(key)) for key in now)
    return len(now) == len(before) and all(one is other for one, other in pairs)

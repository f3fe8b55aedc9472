"""Whether every weight that a cell uses is one of its parameters, and so counted and trained."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from unrolled.cells.base import Cell
from unrolled.errors import CellError


def require_counted(cell: Cell) -> None:
    """Refuse weights that lie in a list, a dictionary or a plain attribute.

    Raises:
        CellError: there is one, or a tensor that is neither parameter nor buffer.
    """
    name = type(cell).__name__
    known = {id(tensor) for tensor in (*cell.parameters(), *cell.buffers())}
    for module in cell.modules():
        for key, value in vars(module).items():
            if key.startswith("_") and key in vars(nn.Module()):
                continue
            for tensor in _tensors(value):
                if id(tensor) in known:
                    continue
                if tensor.requires_grad:
                    raise CellError(f"{name}: keeps in {key} {_hidden(tensor)}")
                # A number works on every device, and is the same again in the next process.
                if tensor.dim() > 0:
                    raise CellError(
                        f"{name}: keeps in {key} a tensor of shape {list(tensor.shape)} that "
                        "would stay behind when the model is moved or saved; make it an "
                        "nn.Parameter, or register_buffer it if it is not trained"
                    )


def require_early(cell: Cell, used: Cell) -> None:
    """Refuse a cell of which a copy has other parameters once it is ``used``.

    Raises:
        CellError: it has.
    """
    names = {name for name, _ in cell.named_parameters()}
    for name, parameter in used.named_parameters():
        if name not in names:
            raise CellError(
                f"{type(cell).__name__}: makes the weight {name} of shape "
                f"{list(parameter.shape)} while it runs, too late to be counted and trained; make "
                "it in __init__"
            )


def require_known(cell: Cell, results: Sequence[Tensor]) -> None:
    """Refuse ``results`` whose gradients end at something else than the cell's parameters.

    Raises:
        CellError: they do.
    """
    known = {id(parameter) for parameter in cell.parameters()}
    for leaf in _leaves(results):
        if id(leaf) not in known:
            raise CellError(f"{type(cell).__name__}: uses {_hidden(leaf)}")


def _hidden(tensor: Tensor) -> str:
    return (
        f"a weight of shape {list(tensor.shape)} that is not among its parameters, so it would be "
        "neither counted nor trained; make it an nn.Parameter of the cell (several in an "
        "nn.ParameterList or nn.ModuleList)"
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors(item)


def _leaves(results: Sequence[Tensor]) -> Iterator[Tensor]:
    """The tensors at which the gradients of ``results`` end."""
    waiting: list[Any] = [result.grad_fn for result in results if result.grad_fn is not None]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(following for following, _ in node.next_functions)

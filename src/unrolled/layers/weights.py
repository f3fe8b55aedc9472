"""The cells' parameters as parameters of the layer, under the names that PyTorch gives them.

A layer owns ``weight_ih_l0``, ``weight_hh_l0_reverse`` and so on, so that a ``state_dict`` of
``torch.nn`` loads into it and back, and what works on parameters by name (parametrizations,
pruning, optimizers, ``torch.func.functional_call``) works on it. The cells inside keep the places
empty; for each pass they are given what the layer has under these names then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell
from unrolled.errors import LayerError
from unrolled.recurrence.lookup import Inputs
from unrolled.recurrence.parameters import replaced_parameters
from unrolled.recurrence.stack import Recurrence, Run, States
from unrolled.recurrence.steps import Steps


@dataclass(frozen=True)
class CellWeights:
    """One cell's parameters.

    Attributes:
        names: by the name in the cell, the name in the layer.
        absent: the biases that the layer leaves out, with their shapes; they are zero.
    """

    names: dict[str, str] = field(default_factory=dict)
    absent: dict[str, torch.Size] = field(default_factory=dict)

    def of(self, layer: nn.Module) -> dict[str, Tensor]:
        """The tensors that the layer has for the cell now, by their names in the cell."""
        tensors: dict[str, Tensor] = {
            own: getattr(layer, name) for own, name in self.names.items()
        }
        if self.absent:
            like = next(iter(tensors.values()))
            tensors |= {own: like.new_zeros(shape) for own, shape in self.absent.items()}
        return tensors


def move_parameters(
    layer: nn.Module, cells: Sequence[Cell], directions: int, *, bias: bool
) -> tuple[CellWeights, ...]:
    """Make the cells' parameters the layer's own, and leave their places in the cells empty.

    Args:
        cells: layer by layer, in each the forward direction first.
        bias: whether parameters called bias… are kept; otherwise they are zero.

    Raises:
        LayerError: ``bias`` is false and the cell has no such parameter, or two parameters of a
            cell would get one name.
    """
    weights = []
    for index, cell in enumerate(cells):
        suffix = f"_l{index // directions}" + ("_reverse" if index % directions else "")
        mine = CellWeights()
        names: dict[int, str] = {}
        for own, parameter in [*cell.named_parameters(remove_duplicate=False)]:
            if not bias and _last(own).startswith("bias"):
                mine.absent[own] = parameter.shape
            elif id(parameter) in names:
                mine.names[own] = names[id(parameter)]
            else:
                name = own.replace(".", "_") + suffix
                if hasattr(layer, name):
                    raise LayerError(
                        f"{type(cell).__name__} has two parameters that the layer would call "
                        f"{name}; rename {own}"
                    )
                layer.register_parameter(name, parameter)
                mine.names[own] = names[id(parameter)] = name
            module = cell.get_submodule(own.rpartition(".")[0])
            module._parameters[_last(own)] = None
        if not bias and not mine.absent:
            raise LayerError(
                f"bias=False: {type(cell).__name__} has no parameter called bias… that could be "
                "left out; take bias=True"
            )
        weights.append(mine)
    return tuple(weights)


@contextmanager
def given_parameters(
    cells: Sequence[Cell], tensors: Sequence[Mapping[str, Tensor]]
) -> Iterator[None]:
    """Give each cell its tensors, by name, within the ``with`` block."""
    with ExitStack() as stack:
        for cell, own in zip(cells, tensors, strict=True):
            stack.enter_context(replaced_parameters(cell, own))
        yield


class LayerRecurrence(Recurrence):
    """A recurrence whose cells are given their parameters for each pass."""

    def recomputed(self, run: Run) -> Run:
        # The backward pass comes when the cells are empty again: it needs this pass's tensors.
        cells = self._cells()
        tensors = [dict(cell.named_parameters(remove_duplicate=False)) for cell in cells]

        def again(x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
            with given_parameters(cells, tensors):
                return run(x, steps, states)

        return again


def _last(name: str) -> str:
    return name.rpartition(".")[2]

"""What a cell is: one layer, one step of time, written as its equations.

To add a cell, subclass ``Cell``, write ``project``, ``step`` and ``reset_parameters``, and point a
YAML in ``conf/cell`` at it. ``GatedCell`` (in ``unrolled.cells.gated``) is the shorter way where
every gate reads ``x_t`` and ``h_{t-1}`` through a matrix each, and ``LinearCell`` (in
``unrolled.cells.linear``) where the recurrence is linear in the state. The engine in
``unrolled.recurrence`` does everything else: layers, directions, dropout, zoneout, carried state,
unequal lengths and the choice of a kernel.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unrolled.errors import CellError

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Gate:
    """A gate, for diagnostics: training does not read it.

    Attributes:
        name: as the cell's equations write it.
        memory: ``keeps`` where the state stays as it was while the gate is open (1), ``replaces``
            where it does while the gate is closed (0); empty where the gate does neither.
        by: the function whose value the gate is.
    """

    name: str
    memory: Literal["", "keeps", "replaces"] = ""
    by: Literal["sigmoid", "exp"] = "sigmoid"


class _Initialized(ABCMeta):
    """Classes whose objects are initialized once all their parameters are there."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        cell = super().__call__(*args, **kwargs)
        cell.reset_parameters()
        return cell


class Cell(nn.Module, metaclass=_Initialized):
    """One recurrent layer at one step of time.

    What does not depend on the previous step is in ``project``, which sees all time steps at once
    and costs one matrix product; what must be done in order is in ``step``; what only reads the
    states is in ``output``, which again sees all time steps at once. No two rows of a batch may
    see each other, and nothing is changed in place.

    Attributes:
        state_names: the parts of the state, in the order of the tuples.
        recurrent_weights: the parameters through which a step reads its state; recurrent dropout
            and weight dropout act on them. Names of parameters that a cell lacks are passed over.
        input_size: the width of the input.
        hidden_size: the width of the recurrence.
        output_size: the width of what the layer above reads.
        window: how many inputs a step reads, its own and those before it; the engine keeps them.
        gating: the cell's gates in the order in which it computes them; ``()`` where it has none,
            None where it does not say.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    recurrent_weights: tuple[str, ...] = ("weight_hh",)
    window: int = 1
    gating: tuple[Gate, ...] | None = None
    _renamed_hooks: ClassVar[dict[str, str]] = {"mix": "apply_zoneout"}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old, new in cls._renamed_hooks.items():
            if old in vars(cls):
                raise CellError(
                    f"{cls.__module__}.{cls.__name__} defines {old}, which is now called {new}: "
                    "rename it (nothing calls it by the old name)"
                )

    def __init__(
        self, input_size: int, hidden_size: int, *, output_size: int | None = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size if output_size is None else output_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each part of the state."""
        return tuple(self.hidden_size for _ in self.state_names)

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The input's part of every step, a function of each row alone.

        Where inputs are a few tokens, the engine asks for each token's row once, and not for each
        step's.

        Args:
            x: ``[..., window * input_size]``: this step's input, then the one before it, and so
                on.

        Returns:
            ``[..., projected size]``.
        """

    @abstractmethod
    def step(self, z: Tensor, state: State) -> State:
        """One step of time.

        Args:
            z: ``[batch, projected size]``, this step's rows of ``project``.
            state: the previous state, a tensor ``[batch, size]`` for each of ``state_names``.

        Returns:
            The new state, of the same shapes.
        """

    def output(self, z: Tensor, state: State) -> Tensor:
        """What the layer above reads; by default the first part of the state.

        Args:
            z: ``[..., projected size]``.
            state: the new state of the same steps, ``[..., size]`` for each part.

        Returns:
            ``[..., output_size]``.
        """
        return state[0]

    def reset_parameters(self) -> None:
        """Initialize as the cell's source does; called once a cell is built.

        Modules inside the cell have initialized themselves; parameters of its own need this.
        """
        if self._parameters:
            raise NotImplementedError(
                f"{type(self).__name__} has parameters of its own ({', '.join(self._parameters)}) "
                "and must say how they start: write reset_parameters"
            )

    def constrain(self) -> None:
        """Clip parameters to the range that the cell's source prescribes; the engine calls it,
        without gradients, before each pass of training."""

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        """Zeros ``[batch_size, size]`` for each part, of the type and device of ``like``."""
        return tuple(like.new_zeros(batch_size, size) for size in self.state_sizes)

    def apply_zoneout(self, old: State, new: State, keep: State) -> State:
        """Zoneout: of each unit the share ``keep`` stays as it was (Krueger et al. 2017, eq. 4).

        Args:
            keep: for each part a mask of zeros and ones in training, the rate in evaluation.
        """
        return tuple(k * o + (1 - k) * n for o, n, k in zip(old, new, keep, strict=True))

    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """All steps by a fused kernel on the same parameters, where PyTorch has one.

        Args:
            x: ``[time, batch, input_size]``; with ``batch_sizes`` the rows ``[sum of batch_sizes,
                input_size]`` of a packed sequence.
            state: as for ``step``.
            batch_sizes: how many sequences each step has, on the CPU.

        Returns:
            Outputs of the same layout as ``x`` and the final state.
        """
        raise NotImplementedError(f"{type(self).__name__} has no fused kernel")

    @property
    def has_native(self) -> bool:
        """Whether the cell has a fused kernel."""
        return type(self).native is not Cell.native

    def native_suits(self, device: torch.device, *, batch: int, unequal: bool) -> bool:
        """Whether ``native`` is the fastest way on ``device``.

        PyTorch's kernels leave oneDNN for sequences of unequal length on a CPU; the engine's loop,
        which computes no padding either, is then as fast or faster.

        Args:
            batch: how many sequences there are.
            unequal: whether their lengths differ.
        """
        return device.type != "cpu" or not unequal

    def set_forget_bias(self, value: float) -> None:
        """Let the forget gate's bias start at ``value`` in total; a cell without one stays as it
        is."""

    @classmethod
    def size_multiple(cls, **options: Any) -> int:
        """Hidden sizes must be multiples of this; a budget is solved among them."""
        return 1


def recurrent_parameters(cell: Cell) -> dict[str, nn.Parameter]:
    """The parameters through which a cell's step reads its state."""
    return {
        name: parameter
        for name, parameter in cell.named_parameters()
        if name in cell.recurrent_weights
    }


def uniform(parameters: Sequence[nn.Parameter], bound: float) -> None:
    """Draw each of ``parameters`` from U(-bound, bound)."""
    for parameter in parameters:
        nn.init.uniform_(parameter, -bound, bound)

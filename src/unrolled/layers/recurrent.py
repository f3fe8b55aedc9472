"""A layer that stands in for ``torch.nn.LSTM``, ``GRU`` and ``RNN``, of any cell."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unrolled.cells.base import Cell
from unrolled.cells.fused import FusedCell
from unrolled.layers.arguments import (
    in_pythons_words,
    require_cell,
    require_flags,
    require_options,
    require_rates,
    require_whole,
    with_projection,
)
from unrolled.layers.inputs import LayerInput
from unrolled.layers.states import LayerState, StateLayout
from unrolled.layers.stored import mismatch
from unrolled.layers.weights import LayerRecurrence, given_parameters, move_parameters
from unrolled.recurrence.dropout import RecurrentRegularization


class RecurrentLayer(nn.Module):
    """Recurrent layers of one cell, called as ``torch.nn.LSTM`` is.

    ``unrolled.layers`` has a class for each cell of the package; for one of your own pass
    ``cell``, or subclass and set ``cell_type``. Parameters have PyTorch's names, the cell's own
    with the layer and the direction behind: ``weight_ih_l0``, ``weight_hh_l1_reverse``.

    Args:
        input_size: the width of the input.
        hidden_size: the width of the recurrence.
        num_layers: how many layers; each reads the outputs of the one below.
        bias: False: the parameters called bias… are zero, and no parameters.
        batch_first: input and output are ``[batch, time, features]`` and not ``[time, batch,
            features]``; the state is ``[layers * directions, batch, size]`` either way.
        dropout: the rate between layers, in training.
        bidirectional: each layer also reads backwards in time; the outputs stand side by side.
        proj_size: the width of the output and of ``h``, for cells with a projection (``LSTM``);
            0 for none.
        device: that of the parameters.
        dtype: that of the parameters.
        cell: a subclass of ``unrolled.cells.base.Cell``.
        locked_dropout: one dropout mask for all steps (Gal & Ghahramani 2016; Merity et al. 2018).
        recurrent_dropout: the rate of dropout on what recurrent weights read of the state, one
            mask for all steps (Gal & Ghahramani 2016).
        weight_dropout: the rate of dropout on the recurrent weights, drawn anew for each call
            (Merity et al. 2018).
        zoneout: the share of the state that a step leaves as it was (Krueger et al. 2017).
        residual: each layer but the first adds its input to its output.
        recompute: keep the states of every √time-th step alone, and compute the others again in
            the backward pass: less memory for long sequences, and more time.
        backend: ``auto`` (the fastest that is exactly the cell), ``native`` (PyTorch's fused
            kernel), ``scan`` (cells that are linear in their state), ``eager`` (the loop over
            time) or ``compiled`` (the loop in compiled chunks).
        options: the cell's own hyperparameters, such as ``depth`` of an ``RHN``.

    Attributes:
        output_size: the width of the output, over both directions.
        state_names: the parts of the state, in the order of the tuple.

    Raises:
        LayerError: an argument that there is not, or a value that it cannot take.

    Example:
        >>> import torch
        >>> from unrolled.layers import MGU
        >>> layer = MGU(10, 20, num_layers=2, batch_first=True, zoneout=0.1)
        >>> output, state = layer(torch.randn(3, 5, 10))
        >>> output.shape, state.shape
        (torch.Size([3, 5, 20]), torch.Size([2, 3, 20]))
    """

    cell_type: ClassVar[type[Cell] | None] = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        cell: type[Cell] | None = None,
        locked_dropout: bool = False,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
        recompute: bool = False,
        backend: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__()
        flags = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        more = {"locked_dropout": locked_dropout, "residual": residual, "recompute": recompute}
        rates = {
            "recurrent_dropout": recurrent_dropout,
            "weight_dropout": weight_dropout,
            "zoneout": zoneout,
        }
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        require_whole(sizes, least=1)
        require_whole({"proj_size": proj_size}, least=0)
        require_flags({**flags, **more})
        require_rates({"dropout": dropout}, one=True)
        require_rates(rates)
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, and num_layers=1 has nothing between",
                stacklevel=2,
            )
        self.cell = require_cell(type(self).cell_type if cell is None else cell)
        own = [name for name in inspect.signature(type(self)).parameters if name != "options"]
        require_options(self.cell, options, own)
        self.options = with_projection(self.cell, options, proj_size, hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = self.options.get("projection_size") or 0
        self._arguments: dict[str, Any] = {**sizes, **flags, "dropout": dropout, **rates, **more}
        self._arguments |= {"proj_size": proj_size, "backend": backend, **options}
        with in_pythons_words(), nullcontext() if device is None else torch.device(device):
            self.recurrence = LayerRecurrence(
                self._build,
                input_size,
                hidden_size,
                num_layers,
                dropout=self.dropout,
                locked=locked_dropout,
                backend=backend,
                bidirectional=bidirectional,
                residual=residual,
                regularization=RecurrentRegularization(**rates),
                recompute=recompute,
            )
        self.output_size = self.recurrence.output_size
        cells = self._cells()
        self._layout = StateLayout(cells)
        self._weights = move_parameters(self, cells, self.recurrence.directions, bias=bias)
        if dtype is not None:
            self.to(dtype)

    def forward(
        self, input: Tensor | PackedSequence, hx: LayerState | None = None
    ) -> tuple[Tensor | PackedSequence, LayerState]:
        """Run all layers over all steps.

        Args:
            input: ``[time, batch, input_size]``, with ``batch_first`` ``[batch, time,
                input_size]``, without a batch ``[time, input_size]``; or a packed sequence.
            hx: the state to start from, as an earlier call returned it; None: the cell's initial
                state, which is zeros for nearly all. Of a packed sequence, in the order before
                sorting.

        Returns:
            The last layer's outputs, in the form of ``input`` and ``output_size`` wide, and the
            state at the end of each sequence: ``[layers * directions, batch, size]``, without a
            batch ``[layers * directions, size]``. It is one tensor where the state has one part,
            else a tuple in the order of ``state_names``.

        Raises:
            LayerError: a shape or a type that does not fit; the message has both.
        """
        if torch.compiler.is_dynamo_compiling():
            # What surrounds the layer is compiled. A loop over time is not unrolled into the
            # graph: that takes minutes, and the engine has the faster kernels.
            uncompiled: Callable[..., Any] = torch.compiler.disable(self._forward)
            result: tuple[Tensor | PackedSequence, LayerState] = uncompiled(input, hx)
            return result
        return self._forward(input, hx)

    def initial_state(self, batch_size: int | None = None) -> LayerState:
        """What a pass without ``hx`` starts from.

        Args:
            batch_size: how many sequences; None: the state of an input without a batch.
        """
        with self._given():
            states = self.recurrence.initial_states(batch_size or 1, self._like())
        return self._layout.stacked(states, batched=batch_size is not None)

    def reset_parameters(self) -> None:
        """Initialize anew, as the cell does when it is built."""
        with torch.no_grad(), torch.device(self._like().device):
            for cell, weights in zip(self._cells(), self._weights, strict=True):
                fresh = dict(self._build(cell.input_size, cell.hidden_size).named_parameters())
                for own in weights.names.keys() & fresh.keys():
                    getattr(self, weights.names[own]).copy_(fresh[own])

    def flatten_parameters(self) -> None:
        """Lay the parameters out as cuDNN reads them, as ``to`` and ``cuda`` do by themselves.

        It does nothing where there is no kernel of cuDNN's, on another device, and for parameters
        that are computed for each pass.
        """
        if not self._like().is_cuda:
            # Parameters that are computed, maybe at random, are not asked for in vain.
            return
        with self._given():
            for cell in self._cells():
                if isinstance(cell, FusedCell):
                    cell.flatten_parameters()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    @property
    def state_names(self) -> tuple[str, ...]:
        """The parts of the state, in the order of the tuple."""
        return self._layout.names

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [
            [getattr(self, name) for name in dict.fromkeys(weights.names.values())]
            for weights in self._weights
        ]

    def extra_repr(self) -> str:
        usual = inspect.signature(RecurrentLayer).parameters
        cell = [self.cell.__name__] if type(self) is RecurrentLayer else []
        sizes = [str(self.input_size), str(self.hidden_size)]
        others = [
            f"{name}={value}"
            for name, value in self._arguments.items()
            if name not in ("input_size", "hidden_size")
            and (name not in usual or value != usual[name].default)
        ]
        return ", ".join([*cell, *sizes, *others])

    def __repr__(self) -> str:
        # In one line, as PyTorch's: what is inside repeats it.
        return f"{type(self).__name__}({self.extra_repr()})"

    def _forward(
        self, input: Tensor | PackedSequence, hx: LayerState | None
    ) -> tuple[Tensor | PackedSequence, LayerState]:
        given = LayerInput(input, self.input_size, batch_first=self.batch_first)
        like, batch = self._like(), given.steps.batch
        given.require_type_of(like)
        with in_pythons_words(), self._given():
            if hx is None:
                states = self.recurrence.initial_states(batch, given.rows)
            else:
                states = self._layout.split(hx, batch, batched=given.batched)
                self._layout.require_types(states, given.rows, like, self._cells()[0])
                states = given.sorted(states)
            y, states = self.recurrence.run(given.rows, given.steps, states)
        final = self._layout.stacked(given.unsorted(states), batched=given.batched)
        return given.output(y), final

    def _build(self, input_size: int, hidden_size: int) -> Cell:
        build: Any = self.cell
        cell = build(input_size, hidden_size, **self.options)
        assert isinstance(cell, Cell)
        return cell

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.recurrence.cells if isinstance(cell, Cell)]

    def _given(self) -> AbstractContextManager[None]:
        """Within it the cells have the layer's parameters of this moment."""
        return given_parameters(self._cells(), [weights.of(self) for weights in self._weights])

    def _like(self) -> Tensor:
        """A tensor of the parameters' type and device."""
        return next(iter(self.parameters()), torch.empty(0))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if (metadata := getattr(destination, "_metadata", None)) is not None:
            metadata[prefix[:-1]]["cell"] = self.cell.__name__

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        stored = local_metadata.get("cell")
        if strict and (message := mismatch(self, self.cell, state_dict, prefix, stored)):
            error_msgs.append(message)
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

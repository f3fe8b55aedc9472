"""Layers of one cell, run over time: the engine's one call."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from unrolled.cells.autocast import HALF, half_type
from unrolled.cells.base import Cell, State, recurrent_parameters
from unrolled.cells.cost import flops, state_size
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError
from unrolled.recurrence.backends import choose, gains_by_half
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.layer import run_layer
from unrolled.recurrence.lookup import Inputs, Lookup, arranged, vectors
from unrolled.recurrence.steps import Steps

# A state for each cell, layer by layer; with both directions the forward one comes first. A cell
# that reads a window of inputs has the inputs before the next one as a last part.
States = tuple[State, ...]
Run = Callable[[Inputs, Steps, States], tuple[Tensor, States]]


class Recurrence(nn.Module):
    """A stack of recurrent layers.

    Args:
        make_cell: builds a cell from its input size and hidden size.
        dropout: the rate between layers (not before the first, not after the last).
        locked: one dropout mask for all time steps.
        backend: one of ``backends.BACKENDS``.
        bidirectional: each layer also reads backwards in time, by a cell of its own; the outputs
            of both stand side by side.
        last_size: the last layer's hidden size; None for as wide as the others.
        residual: each layer but the first adds its input to its output.
        regularization: dropout inside the recurrence, and zoneout.
        recompute: keep only the states between spans of √time steps, and compute the rest of a
            span again in the backward pass. What the engine keeps beside its input and output
            then grows with the square root of time; with both directions each layer's input and
            output are kept as well.

    Raises:
        ConfigError: the backend cannot run the cell exactly, or the cell has no weights for
            dropout inside the recurrence to act on.
    """

    def __init__(
        self,
        make_cell: Callable[[int, int], Cell],
        input_size: int,
        hidden_size: int,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        locked: bool = False,
        backend: str = "auto",
        bidirectional: bool = False,
        last_size: int | None = None,
        residual: bool = False,
        regularization: RecurrentRegularization | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.cells = nn.ModuleList()
        for layer in range(layers):
            size = last_size if last_size is not None and layer == layers - 1 else hidden_size
            for _ in range(self.directions):
                self.cells.append(make_cell(input_size, size))
            input_size = self._cells()[-1].output_size * self.directions
        self.hidden_size = hidden_size
        self.output_size = input_size
        self.dropout = dropout
        self.locked = locked
        self.residual = residual
        self.regularization = regularization or RecurrentRegularization()
        self.recompute = recompute
        self.requested = backend
        self._check_weights()
        # Whether anything can be compiled is known on the device that runs it.
        self.backend_on(torch.device("meta"))

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.cells) // self.directions

    def backend_on(
        self,
        device: torch.device,
        batch: int = 1,
        length: int | None = None,
        *,
        half: bool = False,
    ) -> str:
        """What runs in training on a device, for so many sequences of equal length.

        Args:
            length: of the sequences; None: as in training.
            half: whether products are rounded to half precision.

        Raises:
            ConfigError: the backend asked for cannot run there.
        """
        return self._choose(device, batch, length, training=True, half=half)

    def gains_by_half(self, device: torch.device, batch: int) -> bool:
        """Whether every layer is faster on a CPU with products in half precision."""
        backend = self.backend_on(device, batch, half=True)
        return all(gains_by_half(cell, backend, batch) for cell in self._cells())

    def forward(
        self, x: Inputs, states: States | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Run all layers over all steps.

        Args:
            x: ``[time, batch, input_size]``, or a lookup of ids ``[time, batch]``, whose table the
                first layer projects.
            states: what the previous chunk ended with; None starts from the initial state.
            lengths: ``[batch]``, how many steps each sequence has, at least one; None if all have
                all. Nothing is computed for what comes after.

        Returns:
            The last layer's outputs ``[time, batch, output_size]``, zeros where a sequence is
            over, and every cell's state at its end: a sequence's last step, or its first for a
            cell that reads backwards.

        Raises:
            ValueError: a length is not between one and the number of steps, or there is not one
                for each sequence.
        """
        like, given = (x.table, x.ids) if isinstance(x, Lookup) else (x, x)
        time, batch = given.shape[:2]
        if lengths is None:
            steps, order, rows = Steps([batch] * time), None, given.flatten(0, 1)
        else:
            _check_lengths(lengths, time, batch)
            # A packed sequence is this engine's layout; it asks for the lengths on the CPU.
            packed = pack_padded_sequence(given, lengths.cpu(), enforce_sorted=False)
            steps = Steps(packed.batch_sizes.tolist())
            order, rows = packed.sorted_indices, packed.data
        if states is None:
            states = self.initial_states(batch, like)
        elif order is not None:
            states = _each(states, lambda part: part[order])
        y, states = self.run(arranged(x, lambda _: rows), steps, states)
        if order is None:
            return y.unflatten(0, (time, batch)), states
        back = order.argsort()
        y = steps.padded(y)[:, back]
        return F.pad(y, (0, 0, 0, 0, 0, time - len(y))), _each(states, lambda part: part[back])

    def recomputed(self, run: Run) -> Run:
        """What computes a span of time, and again in the backward pass: ``run``, unless a
        subclass has to prepare the cells for it."""
        return run

    def flops_per_token(self) -> int:
        """Floating-point operations of one step of all cells, as ``cost.flops`` counts them."""
        return sum(map(flops, self._cells()))

    def state_size(self) -> int:
        """Numbers that one sequence carries from step to step."""
        return sum(map(state_size, self._cells()))

    def initial_states(self, batch_size: int, like: Tensor) -> States:
        """Every cell's initial state, of the type and device of ``like``."""
        states = []
        for cell in self._cells():
            state = cell.initial_state(batch_size, like)
            if cell.window > 1:
                past = like.new_zeros(batch_size, (cell.window - 1) * cell.input_size)
                state = (*state, past)
            states.append(state)
        return tuple(states)

    def extra_repr(self) -> str:
        return f"backend={self.requested}, directions={self.directions}, dropout={self.dropout}"

    def run(self, x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
        """Run all layers over rows that lie as in a packed sequence, which ``forward`` makes.

        Args:
            x: ``[rows, input_size]``, or a lookup of ids ``[rows]``, in the layout of ``steps``.
            states: every cell's, its sequences in the order of the first step's rows.

        Returns:
            The last layer's outputs ``[rows, output_size]`` and every cell's state at its end.
        """
        if self.training:
            with torch.no_grad():
                for cell in self._cells():
                    cell.constrain()
        half = half_type(x.device) is not None
        backend = self._choose(
            *(x.device, steps.batch, len(steps.sizes)),
            unequal=not steps.regular,
            training=self.training,
            half=half,
        )
        drawn = [
            self.regularization.draw(cell, steps.batch, training=self.training)
            for cell in self._cells()
        ]
        masks = self._masks_between(x, steps.batch)
        cast = x.dtype in HALF and not torch.is_autocast_enabled(x.device.type)

        def one(index: int, x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
            cell = self._cells()[index]
            y, state = run_layer(cell, x, steps, states[0], backend, drawn[index])
            if cast:
                # Some cells compute in float32 at least; the next one's weights are not in it.
                y = y.to(x.dtype)
            return y, (state,)

        def both(layer: int, x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
            forwards, backwards = 2 * layer, 2 * layer + 1
            y, ahead = self._over(partial(one, forwards), x, steps, (states[forwards],))
            y_back, behind = self._over(
                *(partial(one, backwards), arranged(x, steps.reversed), steps),
                (states[backwards],),
            )
            return torch.cat([y, steps.reversed(y_back)], -1), (*ahead, *behind)

        def layer_of(place: int, x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
            if self.directions == 2:
                return both(place, x, steps, states)
            return one(place, x, steps, (states[place],))

        def stack(x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
            y, final = layer_of(0, x, steps, states)
            for layer in range(1, self.layers):
                below = self._between(y, steps, masks[layer - 1] if masks else None)
                y, new = layer_of(layer, below, steps, states)
                y = below + y if self.residual else y
                final = (*final, *new)
            return y, final

        if self.directions == 2:
            return stack(x, steps, states)
        return self._over(stack, x, steps, states)

    def _over(self, run: Run, x: Inputs, steps: Steps, states: States) -> tuple[Tensor, States]:
        """``run`` over all steps, or span by span with recomputation."""
        if not (self.recompute and torch.is_grad_enabled()):
            return run(x, steps, states)
        length = math.isqrt(len(steps.sizes) - 1) + 1
        spans = [steps.span(start, start + length) for start in range(0, len(steps.sizes), length)]
        outputs = []
        draws = self.training and (self.dropout > 0 or self.regularization.zoneout > 0)
        # Split once: each slice of its own would get a gradient as large as the whole.
        split = vectors(x).split([span.rows for span in spans])
        for span, rows in zip(spans, split, strict=True):
            y, states = checkpoint(
                self.recomputed(run),
                rows,
                span,
                states,
                use_reentrant=False,
                preserve_rng_state=draws,
            )
            outputs.append(y)
        return torch.cat(outputs), states

    def _between(self, x: Tensor, steps: Steps, mask: Tensor | None) -> Tensor:
        """Dropout between two layers."""
        if not self.training or self.dropout == 0:
            return x
        return F.dropout(x, self.dropout) if mask is None else steps.times(x, mask[: steps.batch])

    def _masks_between(self, x: Inputs, batch: int) -> list[Tensor]:
        """Locked masks, drawn once for all steps."""
        if not (self.training and self.locked and self.dropout):
            return []
        below = self._cells()[: -self.directions : self.directions]
        sizes = [(batch, self.directions * cell.output_size) for cell in below]
        ones = [torch.ones(size, dtype=x.dtype, device=x.device) for size in sizes]
        return [F.dropout(one, self.dropout) for one in ones]

    def _choose(
        self,
        device: torch.device,
        batch: int,
        length: int | None = None,
        *,
        unequal: bool = False,
        training: bool,
        half: bool,
    ) -> str:
        return choose(
            self._cells()[0],
            self.requested,
            device,
            zoneout=self.regularization.zoneout > 0,
            recurrent_dropout=training and self.regularization.recurrent_dropout > 0,
            batch=batch,
            length=length,
            unequal=unequal,
            half=half,
        )

    def _check_weights(self) -> None:
        cell, rates = self._cells()[0], self.regularization
        if recurrent_parameters(cell):
            return
        name = type(cell).__name__
        if rates.weight_dropout:
            raise ConfigError(
                f"model.weight_dropout={rates.weight_dropout}: {name} has no recurrent weights to "
                "drop (recurrent_weights names none of its parameters); set model.weight_dropout=0"
            )
        if rates.recurrent_dropout and not isinstance(cell, LinearCell):
            raise ConfigError(
                f"model.recurrent_dropout={rates.recurrent_dropout}: {name} names no recurrent "
                "weights (recurrent_weights) through which it reads its state; name them in the "
                "cell, or set model.recurrent_dropout=0"
            )

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]


def detach(states: States) -> States:
    """The same states without their history: where truncated backpropagation stops."""
    return _each(states, Tensor.detach)


def _each(states: States, change: Callable[[Tensor], Tensor]) -> States:
    return tuple(tuple(change(part) for part in state) for state in states)


def _check_lengths(lengths: Tensor, time: int, batch: int) -> None:
    if lengths.shape != (batch,):
        raise ValueError(
            f"lengths has the shape {tuple(lengths.shape)}; it must hold one length for each of "
            f"the {batch} sequences"
        )
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= time:
        raise ValueError(
            f"lengths are between {int(lengths.min())} and {int(lengths.max())}; each must be "
            f"between 1 and the number of steps, {time}"
        )

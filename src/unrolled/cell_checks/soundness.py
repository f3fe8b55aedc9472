"""Whether a cell keeps the contract that the engine relies on; each fault is one sentence.

A cell that breaks it would still train, and its figures would mean something else: a batch whose
rows see each other, a state that is carried and never read, weights that nobody trains or counts.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from unrolled.cell_checks.construction import FAILURES, first_line, place
from unrolled.cell_checks.counted import require_counted, require_early, require_known
from unrolled.cells.base import Cell, State
from unrolled.cells.linear import LinearCell
from unrolled.errors import CellError

TIME, BATCH = 4, 3
# A state may be renewed only now and then, and a cell may fail only after some steps.
LONG_ENOUGH = 64


def require_sound(cell: Cell) -> None:
    """Refuse a cell that breaks the contract; a matter of milliseconds.

    The cell itself, the global generator and gradients stay as they are.

    Raises:
        CellError: what the cell does wrong, where, and the way out.
    """
    require_counted(cell)
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed every GPU, too, and those are not given back.
        torch.default_generator.manual_seed(0)
        # In double precision on the CPU, with no weight at zero: a fault then shows in the values.
        subject = copy.deepcopy(cell).cpu().double()
        with torch.no_grad():
            for parameter in subject.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        _Examination(subject, torch.float64).run()
        # As it starts, in the precision of training: a weight at zero may be what is divided by.
        _Examination(copy.deepcopy(cell).cpu().float(), torch.float32).require_numbers()
    require_early(cell, subject)


class _Examination:
    def __init__(self, cell: Cell, dtype: torch.dtype) -> None:
        self.cell = cell
        self.name = type(cell).__name__
        self.precision = "single" if dtype == torch.float32 else "double"
        self.x = torch.randn(TIME, BATCH, cell.window * cell.input_size, dtype=dtype)

    @torch.no_grad()
    def run(self) -> None:
        z = self._projection()
        state = self._initial_state()
        self._step(z[0], state)
        self._numbers_over_time(z, state)
        self.require_numbers()
        self._output_of_all(z, state)
        self._rows_are_independent(z[0], state)
        self._coefficients(z, state)
        self._states_matter(state)
        self._weights_counted(z[0], state)

    def _projection(self) -> Tensor:
        z = self._call("project", self.x)
        if not isinstance(z, Tensor) or z.shape[:-1] != self.x.shape[:-1]:
            self._refuse(
                f"project turns [{TIME}, {BATCH}, features] into {_shape(z)}; it must keep the "
                "leading dimensions and change the last alone"
            )
        self._require_numbers("project", {"": z})
        before = _copies(self.x)
        again = self._call("project", self.x)
        self._require_unchanged("project", ["x"], [self.x], before)
        self._require_same("project", [z], [again])
        each = torch.stack([self._call("project", now) for now in self.x])
        if not _close(z, each):
            self._refuse(
                "project of all steps is not that of each: it must treat every step alike and on "
                "its own; what depends on other steps belongs in step, or is a window"
            )
        return z.detach()

    def _initial_state(self) -> State:
        cell, names = self.cell, self.cell.state_names
        start = self._call("initial_state", BATCH, self.x)
        expected = [(BATCH, size) for size in cell.state_sizes]
        found = [tuple(part.shape) for part in start]
        if found != expected or len(names) != len(start):
            self._refuse(
                f"initial_state gives {found} for {', '.join(names)}; state_names and "
                f"state_sizes say {expected}"
            )
        for name, part in zip(names, start, strict=True):
            if part.dtype != self.x.dtype:
                self._refuse(
                    f"initial_state gives {name} in {_word(part.dtype)} beside an input in "
                    f"{_word(self.x.dtype)}; take the type and device of like, as like.new_zeros "
                    "does"
                )
        self._require_numbers("initial_state", dict(zip(names, start, strict=True)))
        # Parts that must be positive (a normalizer) are so, and those at -∞ have been left.
        return tuple(torch.rand_like(part) + 0.1 for part in start)

    def _step(self, z: Tensor, state: State) -> None:
        names = self.cell.state_names
        read = ["z", *(f"the state {name}" for name in names)]
        before = _copies(z, *state)
        new = self._call("step", z, state)
        self._require_unchanged("step", read, [z, *state], before)
        if not isinstance(new, tuple):
            self._refuse(f"step returns a {type(new).__name__}; it must return a tuple of states")
        if len(new) != len(names):
            self._refuse(
                f"step returns {len(new)} state{'s' * (len(new) != 1)}, and state_names has "
                f"{len(names)} ({', '.join(names)}); return the new value of each"
            )
        for name, old_part, part in zip(names, state, new, strict=True):
            if part.shape != old_part.shape:
                self._refuse(
                    f"step returns {name} of shape {_shape(part)}, and was given "
                    f"{_shape(old_part)}; a step must keep the shape of the state"
                )
        self._require_numbers("step", dict(zip(names, new, strict=True)))
        self._require_same("step", new, self._call("step", z, state))
        before = _copies(z, *new)
        y = self._call("output", z, new)
        self._require_unchanged("output", read, [z, *new], before)
        if y.shape != (BATCH, self.cell.output_size):
            self._refuse(
                f"output has shape {_shape(y)}; with output_size={self.cell.output_size} it must "
                f"be {[BATCH, self.cell.output_size]}"
            )
        self._require_numbers("output", {"": y})

    def _output_of_all(self, z: Tensor, state: State) -> None:
        states = self._states(z, state)
        together = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
        y = self._call("output", z, together)
        self._require_same("output", [y], [self._call("output", z, together)])
        each = [self._call("output", now, new) for now, new in zip(z, states, strict=True)]
        if y.shape[:-1] != z.shape[:-1] or not _close(y, torch.stack(each)):
            self._refuse(
                "output of all steps is not that of each: it must treat every step alike and on "
                "its own; what depends on other steps belongs in step"
            )

    def _coefficients(self, z: Tensor, state: State) -> None:
        """A linear cell's step is that of its coefficients, which are those of each step."""
        if not isinstance(self.cell, LinearCell):
            return
        a, b = self._call("coefficients", z)
        a = a.expand_as(b)
        now = state
        for t in range(TIME):
            plain = self._call("step", z[t], now)
            now = self.cell.unpack_state(a[t] * self.cell.pack_state(now) + b[t])
            if not all(_close(one, other) for one, other in zip(plain, now, strict=True)):
                self._refuse(
                    "step is not a * s + b with what coefficients gives for all steps at once; "
                    "write coefficients step by step and leave step to LinearCell"
                )

    def _rows_are_independent(self, z: Tensor, state: State) -> None:
        def outcome(x: Tensor, z: Tensor, state: State) -> list[Tensor]:
            new = self._call("step", z, state)
            return [self._call("project", x), *new, self._call("output", z, new)]

        names = ["project", *["step"] * len(state), "output"]
        first = outcome(self.x[0], z, state)
        # Both ends: a sum over the rows before a row leaves the first as it is.
        for kept in (0, BATCH - 1):
            others = [_other_rows(part, kept) for part in (self.x[0], z, *state)]
            second = outcome(others[0], others[1], tuple(others[2:]))
            for name, one, other in zip(names, first, second, strict=True):
                if not _close(one[kept], other[kept]):
                    self._refuse(
                        f"{name} mixes the sequences of a batch: one's result changes with the "
                        "others'; normalize and reduce over features, never over dimension 0"
                    )

    @torch.no_grad()
    def require_numbers(self) -> None:
        """Refuse a cell that returns NaN only after some steps, or only from where it starts."""
        start = self._call("initial_state", BATCH, self.x)
        self._numbers_over_time(self._long_input(), start)

    def _numbers_over_time(self, z: Tensor, state: State) -> None:
        for number, (z_t, new) in enumerate(self._with_states(z, state), 1):
            when = f" at step {number}"
            names = self.cell.state_names
            self._require_numbers("step", dict(zip(names, new, strict=True)), when)
            self._require_numbers("output", {"": self._call("output", z_t, new)}, when)

    def _long_input(self) -> Tensor:
        """The projection of many steps."""
        x = torch.randn(LONG_ENOUGH, *self.x.shape[1:], dtype=self.x.dtype)
        z: Tensor = self._call("project", x)
        return z

    def _states_matter(self, state: State) -> None:
        z = self._long_input()
        # A counter is a whole number only from its start on.
        starts = [state, self._call("initial_state", BATCH, self.x)]
        for index, name in enumerate(self.cell.state_names):
            changes = ((start, other) for start in starts for other in _changed(start, index))
            if not any(self._reacts(z, *pair) for pair in changes):
                self._refuse(
                    f"step forgets the state {name}: no output depends on it; read it, or take it "
                    "out of state_names (what only the layer above reads is computed in output)"
                )
            if not any(self._renewed(z, start, index) for start in starts):
                self._refuse(
                    f"step returns the state {name} as it was given; compute its new value, or "
                    "take it out of state_names"
                )

    def _reacts(self, z: Tensor, state: State, changed: State) -> bool:
        """Whether another state ever makes another output; it need not be one that can be."""
        both = zip(self._with_states(z, state), self._with_states(z, changed), strict=True)
        for (z_t, new), (_, other) in both:
            y = self._call("output", z_t, other)
            if not y.isfinite().all():
                return False
            if not torch.equal(y, self._call("output", z_t, new)):
                return True
        return False

    def _renewed(self, z: Tensor, state: State, index: int) -> bool:
        """Whether a part of the state is ever another than at the start."""
        return any(
            not torch.equal(new[index], state[index]) for _, new in self._with_states(z, state)
        )

    def _with_states(self, z: Tensor, state: State) -> Iterator[tuple[Tensor, State]]:
        """Each step's rows and the state after it."""
        for z_t in z:
            state = self._call("step", z_t, state)
            yield z_t, state

    def _states(self, z: Tensor, state: State) -> list[State]:
        return [new for _, new in self._with_states(z, state)]

    def _weights_counted(self, z: Tensor, state: State) -> None:
        with torch.enable_grad():
            z = self._call("project", self.x[0])
            new = self._call("step", z, state)
            start = self._call("initial_state", BATCH, self.x)
            results = [self._call("output", z, new), *new, *start]
        require_known(self.cell, results)

    def _call(self, name: str, *args: Any) -> Any:
        try:
            return getattr(self.cell, name)(*args)
        except FAILURES as error:
            raise CellError(
                f"{self.name}.{name} fails on a batch of {BATCH} in {self.precision} precision: "
                f"{first_line(error)} ({place(error, type(self.cell))})"
            ) from error

    def _require_unchanged(
        self, where: str, names: list[str], now: list[Tensor], before: list[Tensor]
    ) -> None:
        for name, tensor, old in zip(names, now, before, strict=True):
            if not torch.equal(tensor, old):
                self._refuse(
                    f"{where} changes {name} in place; make a new tensor (x = x + 1 and not "
                    "x += 1)"
                )

    def _require_numbers(self, where: str, results: dict[str, Tensor], when: str = "") -> None:
        for name, result in results.items():
            if result.isnan().any():
                part = f" in {name}" if name else ""
                self._refuse(
                    f"{where} returns NaN{part}{when} in {self.precision} precision, though "
                    "inputs and weights are finite; look for 0/0, the root or logarithm of a "
                    "negative number, or an overflow"
                )

    def _require_same(self, where: str, one: Sequence[Tensor], other: Sequence[Tensor]) -> None:
        if not all(torch.equal(a, b) for a, b in zip(one, other, strict=True)):
            self._refuse(
                f"{where} gives another result the second time; it must depend on its arguments "
                "and parameters alone (dropout is the engine's)"
            )

    def _refuse(self, fault: str) -> NoReturn:
        raise CellError(f"{self.name}: {fault}")


def _changed(state: State, index: int) -> Iterator[State]:
    """The state with one part changed a little, and by much: a threshold hides a little."""
    part = state[index]
    for other in (1.5 * part + 0.25, part + 10 * torch.randn_like(part)):
        yield (*state[:index], other, *state[index + 1 :])


def _copies(*tensors: Tensor) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


def _other_rows(x: Tensor, kept: int) -> Tensor:
    """Every row but one replaced."""
    others = torch.rand_like(x) + 0.5
    others[kept] = x[kept]
    return others


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"

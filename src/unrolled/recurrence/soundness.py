"""Whether a cell keeps the contract that the engine relies on; each fault is one sentence.

A cell that breaks it would still train, and its figures would mean something else: a batch whose
rows see each other, a state that is carried and never read, weights that nobody trains or counts.
"""

import copy
from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.errors import CellError

TIME, BATCH = 4, 3


def require_sound(cell: Cell) -> None:
    """Refuse a cell that breaks the contract; a matter of milliseconds.

    The cell itself, the global generator and gradients stay as they are.

    Raises:
        CellError: what the cell does wrong, where, and the way out.
    """
    _require_counted(cell)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # In double precision on the CPU, with no weight at zero: a fault then shows in the values.
        subject = copy.deepcopy(cell).cpu().double()
        with torch.no_grad():
            for parameter in subject.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        _Examination(subject).run()


class _Examination:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.name = type(cell).__name__
        self.x = torch.randn(TIME, BATCH, cell.window * cell.input_size, dtype=torch.float64)

    def run(self) -> None:
        z = self._projection()
        state = self._initial_state()
        self._step_shapes(z[0], state)
        self._in_place(z[0], state)
        self._rows_apart(z[0], state)
        self._states_matter(z, state)
        self._weights_counted(z[0], state)

    def _projection(self) -> Tensor:
        z = self._call("project", self.x)
        if not isinstance(z, Tensor) or z.shape[:-1] != self.x.shape[:-1]:
            self._refuse(
                f"project turns [{TIME}, {BATCH}, features] into {_shape(z)}; it must keep the "
                "leading dimensions and change the last alone"
            )
        each = torch.stack([self._call("project", now) for now in self.x])
        if not _close(z, each):
            self._refuse(
                "project of all steps is not that of each: it must treat every step alike and on "
                "its own; what depends on other steps belongs in step, or is a window"
            )
        before = self._kept(self.x)
        self._call("project", self.x)
        self._require_unchanged("project", ["x"], [self.x], before)
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
        # Parts that must be positive (a normalizer) are so, and those at -∞ have been left.
        return tuple(torch.rand_like(part) + 0.1 for part in start)

    def _step_shapes(self, z: Tensor, state: State) -> None:
        names = self.cell.state_names
        new = self._call("step", z, state)
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
        again = self._call("step", z, state)
        if not all(torch.equal(a, b) for a, b in zip(new, again, strict=True)):
            self._refuse(
                "step gives another result the second time; it must depend on its arguments and "
                "parameters alone (dropout is the engine's)"
            )
        y = self._call("output", z, new)
        if y.shape != (BATCH, self.cell.output_size):
            self._refuse(
                f"output has shape {_shape(y)}; with output_size={self.cell.output_size} it must "
                f"be {_shape(torch.empty(BATCH, self.cell.output_size, device='meta'))}"
            )

    def _in_place(self, z: Tensor, state: State) -> None:
        names = ["z", *(f"the state {name}" for name in self.cell.state_names)]
        before = self._kept(z, *state)
        new = self._call("step", z, state)
        self._require_unchanged("step", names, [z, *state], before)
        before = self._kept(z, *new)
        self._call("output", z, new)
        self._require_unchanged("output", names, [z, *new], before)

    def _rows_apart(self, z: Tensor, state: State) -> None:
        def outcome(x: Tensor, z: Tensor, state: State) -> list[Tensor]:
            new = self._call("step", z, state)
            return [self._call("project", x), *new, self._call("output", z, new)]

        first = outcome(self.x[0], z, state)
        others = [self._others(part) for part in (self.x[0], z, *state)]
        second = outcome(others[0], others[1], tuple(others[2:]))
        names = ["project", *["step"] * len(state), "output"]
        for name, one, other in zip(names, first, second, strict=True):
            if not _close(one[0], other[0]):
                self._refuse(
                    f"{name} mixes the sequences of a batch: the first one's result changes with "
                    "the others'; normalize and reduce over features, never over dimension 0"
                )

    def _states_matter(self, z: Tensor, state: State) -> None:
        def outputs(state: State) -> Tensor:
            found = []
            for now in z:
                state = self._call("step", now, state)
                found.append(self._call("output", now, state))
            return torch.stack(found)

        plain = outputs(state)
        new = self._call("step", z[0], state)
        for index, name in enumerate(self.cell.state_names):
            changed = list(state)
            changed[index] = changed[index] * 1.5 + 0.25
            if torch.equal(outputs(tuple(changed)), plain):
                self._refuse(
                    f"step forgets the state {name}: no output depends on it; read it, or take it "
                    "out of state_names"
                )
            if torch.equal(new[index], state[index]):
                self._refuse(
                    f"step returns the state {name} as it was given; compute its new value, or "
                    "take it out of state_names"
                )

    def _weights_counted(self, z: Tensor, state: State) -> None:
        with torch.enable_grad():
            z = self.cell.project(self.x[0])
            new = self.cell.step(z, state)
            results = [self.cell.output(z, new), *new]
        known = {id(parameter) for parameter in self.cell.parameters()}
        for leaf in _leaves(results):
            if id(leaf) not in known:
                self._refuse(_hidden(leaf, "uses"))

    @torch.no_grad()
    def _call(self, name: str, *args: Any) -> Any:
        try:
            return getattr(self.cell, name)(*args)
        except Exception as error:
            where = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            message = (
                f"{self.name}.{name} fails on a batch of {BATCH} in double precision: {where}"
            )
            raise CellError(message) from error

    def _others(self, x: Tensor) -> Tensor:
        """Every row but the first replaced."""
        return torch.cat([x[:1], torch.rand_like(x[1:]) + 0.5])

    def _kept(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.clone() for tensor in tensors]

    def _require_unchanged(
        self, where: str, names: list[str], now: list[Tensor], before: list[Tensor]
    ) -> None:
        for name, tensor, old in zip(names, now, before, strict=True):
            if not torch.equal(tensor, old):
                self._refuse(
                    f"{where} changes {name} in place; make a new tensor (x = x + 1 and not "
                    "x += 1)"
                )

    def _refuse(self, fault: str) -> NoReturn:
        raise CellError(f"{self.name}: {fault}")


def _require_counted(cell: Cell) -> None:
    """Refuse weights that lie in a list, a dictionary or a plain attribute."""
    known = {id(parameter) for parameter in cell.parameters()}
    for module in cell.modules():
        for key, value in vars(module).items():
            if key.startswith("_") and key in vars(nn.Module()):
                continue
            for tensor in _tensors(value):
                if tensor.requires_grad and id(tensor) not in known:
                    raise CellError(f"{type(cell).__name__}: {_hidden(tensor, f'keeps in {key}')}")


def _hidden(tensor: Tensor, how: str) -> str:
    return (
        f"{how} a weight of shape {_shape(tensor)} that is not among its parameters, so it would "
        "be neither counted nor trained; make it an nn.Parameter of the cell (several in an "
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


def _leaves(results: list[Tensor]) -> Iterator[Tensor]:
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


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"

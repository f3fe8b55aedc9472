"""The checks of ``unrolled check``, which all of our own cells pass."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from unrolled.cell_checks.construction import FAILURES, first_line, place
from unrolled.cell_checks.measurement import (
    Finding,
    Make,
    Size,
    measured_size,
    measured_speed,
)
from unrolled.cell_checks.soundness import require_sound
from unrolled.cells.base import Cell, State
from unrolled.errors import CellError, ConfigError
from unrolled.recurrence import generated
from unrolled.recurrence.backends import BACKENDS, choose
from unrolled.recurrence.parameters import replaced_parameters
from unrolled.recurrence.stack import Recurrence, States

EXACT = 1e-10
LONG = 1000


def examine(
    make: Make, size: Size, *, multiple: int = 1, compiled: bool = False
) -> Iterator[Finding]:
    """Each check's finding as it is made.

    Args:
        make: builds the cell from its input size and hidden size.
        multiple: hidden sizes must be multiples of this.
        compiled: try the compiled backend, too; it takes some ten seconds.
    """
    torch.manual_seed(0)
    hidden = 4 * multiple
    cell = make(3, hidden).double()
    try:
        require_sound(cell)
        require_sound(make(hidden, hidden))
    except CellError as error:
        yield Finding("structure", False, str(error))
        return
    parts = ", ".join(
        f"{name} [{width}]" for name, width in zip(cell.state_names, cell.state_sizes, strict=True)
    )
    yield Finding("structure", True, f"project, step and output keep the contract; state {parts}")

    def tried(check: str, attempt: Callable[..., Finding], *args: Any) -> Finding:
        try:
            return attempt(*args)
        except FAILURES as error:
            return Finding(check, False, f"{first_line(error)} ({place(error, type(cell))})")

    yield tried("parameters", _parameters, make, hidden)
    yield tried("gradients against finite differences", _finite_differences, make, multiple)
    for backend in BACKENDS[1:]:
        if backend == "generated":
            yield tried("generated C code against the loop", _generated, make, hidden)
        elif _runs(make(3, hidden), backend) and (backend != "compiled" or compiled):
            yield tried(f"{backend} backend against the loop", _backend, make, hidden, backend)
    yield tried("carried state", _halves, make, hidden)
    yield tried("unequal lengths", _lengths, make, hidden, 1)
    yield tried("unequal lengths in both directions", _lengths, make, hidden, 2)
    yield tried("single against double precision", _single_precision, make, hidden)
    yield tried(f"{LONG:,} steps", _long, make, hidden)
    yield tried(f"size at width {size.hidden_size}", measured_size, make, size.hidden_size)
    yield tried("speed", measured_speed, make, size)


def _runs(cell: Cell, backend: str) -> bool:
    try:
        choose(cell, backend, torch.device("cpu"))
    except ConfigError:
        return False
    return True


def one_step_loop(cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The definition of a layer: one projection, one step and one output at a time.

    Args:
        x: ``[time, batch, input_size]``.
        state: the cell's own, without the inputs of a window, which are zero before the start.
    """
    past = [x.new_zeros(x.shape[1:]) for _ in range(cell.window - 1)]
    outputs = []
    for now in x:
        window = [now, *past]
        past = window[: cell.window - 1]
        z = cell.project(torch.cat(window, -1))
        state = cell.step(z, state)
        outputs.append(cell.output(z, state))
    return torch.stack(outputs), state


def _parameters(make: Make, hidden: int) -> Finding:
    cell = make(3, hidden).double()
    with torch.device("meta"):
        promised = sum(parameter.numel() for parameter in make(3, hidden).parameters())
    count = sum(parameter.numel() for parameter in cell.parameters())
    if count != promised:
        return Finding(
            "parameters", False, f"{count} on the CPU and {promised} on the meta device"
        )
    if not count:
        return Finding("parameters", None, "none: nothing of this cell is trained")
    _perturb(cell)
    x = _inputs(6, 3)
    y, state = one_step_loop(cell, x, _state(cell, 3))
    # The start may be learned, too.
    from_start, _ = one_step_loop(cell, x, cell.initial_state(3, x))
    found = _gradients([y, *state, from_start], list(cell.parameters()))
    dead = [
        name
        for (name, parameter), gradient in zip(cell.named_parameters(), found, strict=True)
        if parameter.requires_grad and not gradient.ne(0).any()
    ]
    if dead:
        return Finding("parameters", False, f"no gradient reaches {', '.join(dead)}")
    return Finding("parameters", True, f"{count} at hidden size {hidden}; gradients reach all")


def _finite_differences(make: Make, multiple: int) -> Finding:
    cell = make(2, 2 * multiple).double()
    _perturb(cell)
    names = [name for name, _ in cell.named_parameters()]
    leaves = [parameter.detach().requires_grad_() for parameter in cell.parameters()]
    x, state = _inputs(3, 2, 2).requires_grad_(), _state(cell, 2)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, parameters = rest[: len(cell.state_names)], rest[len(cell.state_names) :]
        with replaced_parameters(cell, dict(zip(names, parameters, strict=True))):
            y, final = one_step_loop(cell, x, state)
        return (y, *final)

    check = "gradients against finite differences"
    try:
        torch.autograd.gradcheck(run, (x, *state, *leaves))
    except GradcheckError as error:
        reason = " ".join(str(error).partition("numerical:")[0].split()).rstrip(",")
        return Finding(check, False, f"{reason}: the cell's result leaves autograd somewhere")
    return Finding(check, True, "input, state and every parameter, in double precision")


def _backend(make: Make, hidden: int, backend: str) -> Finding:
    check = f"{backend} backend against the loop"
    layer = Recurrence(make, 3, hidden, backend=backend).double()
    (cell,) = (cell for cell in layer.cells if isinstance(cell, Cell))
    _perturb(cell)
    found, expected = _layer_and_loop(layer, cell, cell, torch.float64)
    return _compared(check, found, expected, "outputs, states and gradients")


def _generated(make: Make, hidden: int) -> Finding:
    check = "generated C code against the loop"
    cell, exact = make(3, hidden), make(3, hidden).double()
    _perturb(cell)
    exact.load_state_dict(cell.state_dict())
    if (why := generated.missing(cell, torch.device("cpu"))) is not None:
        return Finding(check, None, f"{why}; the plain loop runs it, more slowly")
    layer = Recurrence(lambda *_: cell, 3, hidden, backend="generated")
    pairs = zip(*_layer_and_loop(layer, cell, exact, torch.float32), strict=True)
    error = max(
        float((one - other).detach().abs().max() / other.detach().abs().max().clamp(min=1e-3))
        for one, other in pairs
    )
    return Finding(
        check, error < 1e-4, f"outputs, states and gradients differ by {error:.0e} of the largest"
    )


def _layer_and_loop(
    layer: Recurrence, cell: Cell, exact: Cell, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, states and gradients of a layer of ``cell`` in a type, and of the loop of the same
    cell in double precision, ``exact``."""
    x, state = _inputs(11, 3).requires_grad_(), _state(exact, 3)
    y, final = one_step_loop(exact, x, state)
    expected = [y, *final, *_gradients([y, *final], [x, *state, *exact.parameters()])]
    leaves = [part.detach().to(dtype).requires_grad_() for part in (x, *state)]
    past: State = () if cell.window == 1 else (leaves[0].new_zeros(3, (cell.window - 1) * 3),)
    y, states = layer(leaves[0], ((*leaves[1:], *past),))
    final = states[0][: len(state)]
    found = [y, *final, *_gradients([y, *final], [*leaves, *cell.parameters()])]
    return found, expected


def _halves(make: Make, hidden: int) -> Finding:
    layer = _stack(make, hidden, directions=1)
    x = _inputs(9, 3)
    whole, final = layer(x)
    first, carried = layer(x[:4])
    second, end = layer(x[4:], carried)
    found, expected = [torch.cat([first, second]), *_flat(end)], [whole, *_flat(final)]
    return _compared("carried state", found, expected, "two halves against the whole, 3 layers")


def _lengths(make: Make, hidden: int, directions: int) -> Finding:
    layer = _stack(make, hidden, directions=directions)
    x, lengths = _inputs(7, 4), [3, 7, 1, 5]
    y, states = layer(x, lengths=torch.tensor(lengths))
    found: list[Tensor] = []
    expected: list[Tensor] = []
    for row, length in enumerate(lengths):
        alone, final = layer(x[:length, row : row + 1])
        found += [y[:length, row], *(part[row] for part in _flat(states))]
        expected += [alone[:, 0], *(part[0] for part in _flat(final))]
    both = " in both directions" if directions == 2 else ""
    return _compared(
        f"unequal lengths{both}", found, expected, "a batch against each sequence alone, 3 layers"
    )


def _single_precision(make: Make, hidden: int) -> Finding:
    cell = make(3, hidden)
    exact = make(3, hidden).double()
    exact.load_state_dict(cell.state_dict())
    x = _inputs(50, 3)
    with torch.no_grad():
        y, _ = one_step_loop(cell, x.float(), cell.initial_state(3, x.float()))
        truth, _ = one_step_loop(exact, x, exact.initial_state(3, x))
    error = float((y - truth).abs().max() / truth.abs().max().clamp(min=1e-3))
    return Finding(
        "single against double precision", error < 1e-4, f"differ by {error:.1e} after 50 steps"
    )


def _long(make: Make, hidden: int) -> Finding:
    layer = Recurrence(make, 3, hidden)
    y, states = layer(0.1 * _inputs(LONG, 2).float())
    gradients = _gradients([y], list(layer.parameters()))
    check = f"{LONG:,} steps"
    if not (finite := y.isfinite().flatten(1).all(1)).all():
        first = int(finite.int().argmin())
        what = "NaN" if y[first].isnan().any() else "infinite"
        return Finding(check, False, f"the output is {what} from step {first + 1} on, not finite")
    for what, parts in (("states", _flat(states)), ("gradients", gradients)):
        if not all(part.isfinite().all() for part in parts):
            return Finding(check, False, f"the outputs are finite, and the {what} are not")
    return Finding(check, True, "outputs, states and gradients are finite")


def _stack(make: Make, hidden: int, directions: int) -> Recurrence:
    layer = Recurrence(make, 3, hidden, 3, bidirectional=directions == 2).double()
    _perturb(layer)
    return layer


@torch.no_grad()
def _perturb(module: nn.Module) -> None:
    """No weight at zero, where a fault would not show, and none out of its cell's range."""
    for parameter in module.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    for cell in module.modules():
        if isinstance(cell, Cell):
            cell.constrain()


def _inputs(time: int, batch: int, size: int = 3) -> Tensor:
    return torch.randn(time, batch, size, dtype=torch.float64)


def _state(cell: Cell, batch: int) -> State:
    like = torch.zeros((), dtype=torch.float64)
    return tuple(
        (torch.rand_like(part) + 0.1).requires_grad_() for part in cell.initial_state(batch, like)
    )


def _gradients(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """Of a sum in which every number has a weight of its own."""
    generator = torch.Generator().manual_seed(1)
    weighted = [
        (part * torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part)).sum()
        for part in results
    ]
    scalar = torch.stack(weighted).sum()
    # What is frozen, or no result depends on, has a gradient of zero.
    wanted = [leaf for leaf in leaves if leaf.requires_grad and scalar.requires_grad]
    found = iter(
        torch.autograd.grad(scalar, wanted, allow_unused=True, materialize_grads=True)
        if wanted
        else ()
    )
    reached = {id(leaf) for leaf in wanted}
    return [next(found) if id(leaf) in reached else torch.zeros_like(leaf) for leaf in leaves]


def _flat(states: States) -> list[Tensor]:
    return [part for state in states for part in state]


def _compared(
    check: str, found: Sequence[Tensor], expected: Sequence[Tensor], what: str
) -> Finding:
    pairs = zip(found, expected, strict=True)
    error = max(float((one - other).detach().abs().max()) for one, other in pairs)
    return Finding(check, error <= EXACT, f"{what} differ by {error:.0e} at most")

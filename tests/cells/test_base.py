"""What every cell of ``conf/cell`` keeps: a new one is tested by being there."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.cells.linear import LinearCell
from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.errors import CellError, ConfigError

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
TIME, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
# Cells that PyTorch has a module for, with the same stacked parameters.
MODULES: dict[str, Callable[[], nn.Module]] = {
    "rnn_tanh": lambda: nn.RNN(INPUT, HIDDEN),
    "rnn_relu": lambda: nn.RNN(INPUT, HIDDEN, nonlinearity="relu"),
    "irnn": lambda: nn.RNN(INPUT, HIDDEN, nonlinearity="relu"),
    "lstm": lambda: nn.LSTM(INPUT, HIDDEN),
    "gru": lambda: nn.GRU(INPUT, HIDDEN),
}
# Cells with a forget gate, and the part of the state that it keeps.
FORGETTING = {
    "lstm": "c",
    "lstm_peephole": "c",
    "lstm_cifg": "c",
    "lstm_layernorm": "c",
    "lstm_mogrifier": "c",
    "ugrnn": "h",
    "sru": "c",
    "qrnn": "c",
    "min_lstm": "h",
    "slstm": "c",
}


@cache
def chosen(name: str) -> DictConfig:
    node = compose_run([f"cell={name}"]).cell
    assert isinstance(node, DictConfig)
    return node


def options_of(name: str) -> dict[str, Any]:
    return arguments_of(chosen(name), "name", "backend")


@cache
def type_of(name: str) -> type[Cell]:
    # Of the file, since composing all cells takes seconds and this is asked at collection.
    node = OmegaConf.load(config_directory() / "cell" / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    cell_type = target_of(node)
    assert isinstance(cell_type, type) and issubclass(cell_type, Cell)
    return cell_type


def size_of(name: str, at_least: int) -> int:
    """The smallest hidden size that the cell can have from ``at_least`` on."""
    multiple = type_of(name).size_multiple(**options_of(name))
    return -(-at_least // multiple) * multiple


def make(name: str, input_size: int = INPUT, hidden_size: int = HIDDEN) -> Cell:
    torch.manual_seed(11)
    cell = type_of(name)(input_size, size_of(name, hidden_size), **options_of(name))
    return cell.double()


def shuffled(cell: Cell) -> Cell:
    """The cell with every parameter drawn anew, so that none hides behind a start at zero."""
    torch.manual_seed(16)
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.6, 0.6)
    return cell


def sequence(cell: Cell) -> tuple[Tensor, State]:
    """A leaf input ``[time, batch, input]`` and a leaf initial state that is not zero."""
    torch.manual_seed(12)
    x = torch.randn(TIME, BATCH, cell.input_size, dtype=torch.float64, requires_grad=True)
    zeros = cell.initial_state(BATCH, x)
    return x, tuple(torch.randn_like(part).mul_(0.5).requires_grad_() for part in zeros)


def windows(cell: Cell, x: Tensor, before: Tensor | None = None) -> Tensor:
    """Each step's inputs, its own first: ``[time, batch, window * input]``.

    Args:
        before: ``[window - 1, batch, input]``, the inputs before the first, oldest first; None
            for zeros.
    """
    if before is None:
        before = x.new_zeros(cell.window - 1, *x.shape[1:])
    longer = torch.cat([before, x])
    return torch.stack(
        [
            torch.cat([longer[cell.window - 1 + t - back] for back in range(cell.window)], -1)
            for t in range(len(x))
        ]
    )


def loop(
    cell: Cell, x: Tensor, state: State, before: Tensor | None = None
) -> tuple[Tensor, State]:
    """The definition: one projection, one step and one output at a time."""
    outputs = []
    for now in windows(cell, x, before):
        z = cell.project(now)
        state = cell.step(z, state)
        outputs.append(cell.output(z, state))
    return torch.stack(outputs), state


def gradients(outputs: Tensor, state: State, leaves: list[Tensor]) -> list[Tensor]:
    """Of a scalar in which every output and state has a weight of its own."""
    torch.manual_seed(13)
    parts = [outputs, *state]
    scalar = torch.stack([(part * torch.randn_like(part)).sum() for part in parts]).sum()
    return list(torch.autograd.grad(scalar, leaves))


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


LINEAR = [name for name in CELLS if issubclass(type_of(name), LinearCell)]
NATIVE = [name for name in CELLS if type_of(name).native is not Cell.native]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_step_loop_is_pytorchs_module(name: str) -> None:
    cell = make(name)
    module = MODULES[name]().double()
    parameters = [*cell.parameters()]
    with torch.no_grad():
        for ours, theirs in zip(parameters, module.parameters(), strict=True):
            theirs.copy_(ours)
    x, state = sequence(cell)
    y, final = loop(cell, x, state)
    stacked = tuple(part[None] for part in state)
    y_module, final_module = module(x, stacked if len(stacked) > 1 else stacked[0])
    if len(stacked) == 1:
        final_module = (final_module,)
    final_module = tuple(part[0] for part in final_module)
    assert_same([y, *final], [y_module, *final_module])
    assert_same(
        gradients(y, final, [x, *state, *parameters]),
        gradients(y_module, final_module, [x, *state, *module.parameters()]),
    )


@pytest.mark.parametrize("name", NATIVE)
def test_the_fused_kernel_is_the_cell(name: str) -> None:
    cell = make(name)
    assert cell.has_native
    x, state = sequence(cell)
    y, final = loop(cell, x, state)
    y_native, final_native = cell.native(x, state)
    leaves = [x, *state, *cell.parameters()]
    assert_same([y_native, *final_native], [y, *final])
    assert_same(gradients(y_native, final_native, leaves), gradients(y, final, leaves))


@pytest.mark.parametrize("name", NATIVE)
def test_the_fused_kernel_runs_a_packed_sequence(name: str) -> None:
    cell = shuffled(make(name))
    x, state = sequence(cell)
    lengths = [6, 4, 1]
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths))
    y, final = cell.native(packed.data, state, packed.batch_sizes)
    rows = nn.utils.rnn.PackedSequence(y, packed.batch_sizes)
    y, _ = nn.utils.rnn.pad_packed_sequence(rows)
    for index, length in enumerate(lengths):
        row = slice(index, index + 1)
        alone = loop(cell, x[:length, row], tuple(part[row] for part in state))
        assert_same([y[:length, row], *(part[row] for part in final)], [alone[0], *alone[1]])


@pytest.mark.parametrize("name", sorted(set(CELLS) - set(NATIVE)))
def test_a_cell_without_a_fused_kernel_says_so(name: str) -> None:
    cell = make(name)
    assert not cell.has_native
    with pytest.raises(NotImplementedError, match=f"{type(cell).__name__} has no fused kernel"):
        cell.native(*sequence(cell))


@pytest.mark.parametrize("name", CELLS)
def test_the_projection_and_the_output_of_all_steps_are_those_of_each(name: str) -> None:
    cell = shuffled(make(name))
    x, _ = sequence(cell)
    inputs = windows(cell, x)
    together = cell.project(inputs)
    assert together.shape[:2] == (TIME, BATCH)
    assert_same([together], [torch.stack([cell.project(now) for now in inputs])])
    states = tuple(
        torch.randn(TIME, BATCH, size, dtype=torch.float64) for size in cell.state_sizes
    )
    y = cell.output(together, states)
    assert y.shape == (TIME, BATCH, cell.output_size)
    each = [cell.output(together[t], tuple(part[t] for part in states)) for t in range(TIME)]
    assert_same([y], [torch.stack(each)])


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_without_storage_has_the_parameters_of_one_with(name: str) -> None:
    cell = make(name, 7, 9)
    with torch.device("meta"):
        shape = type_of(name)(7, cell.hidden_size, **options_of(name))
    sizes = [(key, parameter.shape) for key, parameter in cell.named_parameters()]
    assert [(key, parameter.shape) for key, parameter in shape.named_parameters()] == sizes
    assert all(parameter.is_meta for parameter in shape.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_the_initial_state_has_the_shapes_and_type_of_its_batch(name: str) -> None:
    cell = make(name)
    assert len(cell.state_sizes) == len(cell.state_names) == len(set(cell.state_names))
    for dtype in (torch.float32, torch.float64):
        state = cell.initial_state(BATCH, torch.zeros(1, dtype=dtype))
        assert [part.shape for part in state] == [(BATCH, size) for size in cell.state_sizes]
        for part in state:
            assert part.dtype == dtype
            assert not part.requires_grad


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_from_the_initial_state_is_finite(name: str) -> None:
    cell = make(name)
    x, _ = sequence(cell)
    y, final = loop(cell, x, cell.initial_state(BATCH, x))
    assert y.shape == (TIME, BATCH, cell.output_size)
    assert all(torch.isfinite(part).all() for part in (y, *final))
    found = torch.autograd.grad(y.sum(), [x, *cell.parameters()])
    assert all(torch.isfinite(part).all() for part in found)


@pytest.mark.parametrize("name", CELLS)
def test_two_halves_are_the_whole(name: str) -> None:
    cell = shuffled(make(name))
    x, state = sequence(cell)
    first = TIME // 2
    y, final = loop(cell, x, state)
    one, middle = loop(cell, x[:first], state)
    before = x[first - cell.window + 1 : first]
    other, end = loop(cell, x[first:], middle, before)
    assert_same([torch.cat([one, other]), *end], [y, *final])


@pytest.mark.parametrize("name", CELLS)
def test_a_step_keeps_the_shapes_of_the_state(name: str) -> None:
    cell = make(name)
    x, state = sequence(cell)
    new = cell.step(cell.project(windows(cell, x)[0]), state)
    assert [part.shape for part in new] == [part.shape for part in state]


@pytest.mark.parametrize("name", CELLS)
def test_batch_elements_do_not_see_each_other(name: str) -> None:
    cell = shuffled(make(name))
    x, state = sequence(cell)
    y, final = loop(cell, x, state)
    other_x = x.detach().clone()
    other_x[:, 1:] = 7.0
    other_state = tuple(part.detach().clone() for part in state)
    for part in other_state:
        part[1:] = -3.0
    other_y, other_final = loop(cell, other_x, other_state)
    assert_same([other_y[:, 0]], [y[:, 0]])
    assert_same([part[0] for part in other_final], [part[0] for part in final])
    assert not torch.allclose(other_y[:, 1], y[:, 1])


@pytest.mark.parametrize("name", CELLS)
def test_the_gradients_are_those_of_finite_differences(name: str) -> None:
    cell = make(name, 2, 3)
    torch.manual_seed(14)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.rand_like(part).requires_grad_() for part in cell.initial_state(2, x.detach())
    )

    def run(x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        y, final = loop(cell, x, state)
        return (y, *final)

    assert torch.autograd.gradcheck(run, (x, *state))


@pytest.mark.parametrize("name", CELLS)
def test_every_parameter_is_learned_through_the_outputs(name: str) -> None:
    cell = shuffled(make(name))
    x, state = sequence(cell)
    y, _ = loop(cell, x, state)
    torch.manual_seed(13)
    scalar = (y * torch.randn_like(y)).sum()
    named = dict(cell.named_parameters())
    found = torch.autograd.grad(scalar, [*named.values()], allow_unused=True)
    for key, grad in zip(named, found, strict=True):
        assert grad is not None, key
        # Single entries of a rectifier's weights may well be idle, but no row.
        assert grad.reshape(len(grad), -1).any(1).all(), key


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_weights_are_how_a_step_reads_its_state(name: str) -> None:
    cell = shuffled(make(name))
    x, state = sequence(cell)
    inputs = windows(cell, x)[0]
    named = dict(cell.named_parameters())
    for key in (key for key in cell.recurrent_weights if key in named):
        z = cell.project(inputs)
        unread: tuple[Tensor | None, ...] = torch.autograd.grad(
            z.sum(), [named[key]], allow_unused=True
        )
        assert unread[0] is None, f"{key} is in the projection"
        new = torch.cat(cell.step(z, state), -1)
        (grad,) = torch.autograd.grad(new.square().sum(), [named[key]])
        assert grad.any(), f"{key} is not in the step"


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_cells_step_is_its_coefficients(name: str) -> None:
    cell = shuffled(make(name))
    assert isinstance(cell, LinearCell)
    x, state = sequence(cell)
    z = cell.project(windows(cell, x))
    a, b = cell.coefficients(z)
    a = a.expand_as(b)
    assert b.shape[:2] == (TIME, BATCH)
    for t in range(TIME):
        new = cell.step(z[t], state)
        assert_same([*new], [*cell.unpack_state(a[t] * cell.pack_state(state) + b[t])])
        assert_same([*cell.unpack_state(cell.pack_state(state))], [*state])
        state = new


@pytest.mark.parametrize("name", CELLS)
def test_the_forget_bias_is_set_in_total_and_alone(name: str) -> None:
    cell = shuffled(make(name))
    before = {key: value.detach().clone() for key, value in cell.named_parameters()}
    cell.set_forget_bias(1.5)
    changed = {key: value[value != before[key]].tolist() for key, value in cell.named_parameters()}
    expected: dict[str, list[float]] = {key: [] for key in before}
    if name in FORGETTING:
        expected["bias_ih"] = [1.5] * cell.hidden_size
        if "bias_hh" in expected:
            expected["bias_hh"] = [0.0] * cell.hidden_size
    assert changed == expected


@pytest.mark.parametrize("name", sorted(FORGETTING))
def test_the_forget_gate_starts_at_its_bias(name: str) -> None:
    cell = make(name)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    cell.set_forget_bias(1.5)
    x, state = sequence(cell)
    part = cell.state_names.index(FORGETTING[name])
    new = cell.step(cell.project(windows(cell, x)[0]), state)
    (kept,) = torch.autograd.grad(new[part].sum(), [state[part]])
    if "m" in cell.state_names:
        # The memory is kept divided by exp(m).
        m = cell.state_names.index("m")
        kept = kept * torch.exp(new[m] - state[m])
    gate = torch.sigmoid(torch.tensor(1.5, dtype=torch.float64))
    if name == "min_lstm":
        gate = gate / (gate + 0.5)  # its forget gate and its input gate sum to one
    torch.testing.assert_close(kept, gate.expand_as(kept), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_a_size_that_is_no_multiple_is_refused(name: str) -> None:
    cell_type, options = type_of(name), options_of(name)
    multiple = cell_type.size_multiple(**options)
    assert multiple >= 1
    assert cell_type(INPUT, 2 * multiple, **options).hidden_size == 2 * multiple
    if multiple > 1:
        with pytest.raises(ConfigError, match="hidden_size"):
            cell_type(INPUT, 2 * multiple + 1, **options)


@pytest.mark.parametrize("name", CELLS)
def test_the_docstring_says_state_initialization_and_options(name: str) -> None:
    # Without the source's indentation, which Python keeps before 3.13.
    text = inspect.getdoc(type_of(name)) or ""
    assert "\nState: " in text
    assert "\nInitialization: " in text
    for option in options_of(name):
        assert f"\n    {option}: " in text


@pytest.mark.parametrize("name", CELLS)
def test_parameters_start_anew_from_the_seed(name: str) -> None:
    cell = make(name)
    before = [parameter.detach().clone() for parameter in cell.parameters()]
    torch.manual_seed(15)
    cell.reset_parameters()
    first = [parameter.detach().clone() for parameter in cell.parameters()]
    torch.manual_seed(15)
    cell.reset_parameters()
    again = [*cell.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(before, again, strict=True))
    assert all(torch.isfinite(parameter).all() for parameter in again)


def test_the_cells_are_the_twenty_one_of_the_readme() -> None:
    assert len(CELLS) == 21
    assert set(MODULES) | set(FORGETTING) | set(LINEAR) | set(NATIVE) <= set(CELLS)
    assert set(NATIVE) == set(MODULES)


@pytest.mark.parametrize(
    ("base", "old", "new"),
    [
        (Cell, "mix", "apply_zoneout"),
        (LinearCell, "mix", "apply_zoneout"),
        (LinearCell, "enter", "pack_state"),
        (LinearCell, "leave", "unpack_state"),
    ],
)
def test_a_hook_by_its_former_name_is_refused_with_the_new_one(
    base: type[Cell], old: str, new: str
) -> None:
    with pytest.raises(CellError, match=rf"Mine defines {old}, which is now called {new}: "):
        type("Mine", (base,), {old: lambda self, state: state})


def test_only_a_linear_cells_hooks_are_a_linear_cells() -> None:
    assert type("Mine", (Cell,), {"enter": lambda self: None})

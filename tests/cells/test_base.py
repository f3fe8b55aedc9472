"""What every cell of ``conf/cell`` keeps: a new one is tested by being there."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
TIME, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
# Cells that PyTorch has a module for, with the same stacked parameters.
MODULES: dict[str, Callable[[], nn.Module]] = {
    "rnn_tanh": lambda: nn.RNN(INPUT, HIDDEN),
    "rnn_relu": lambda: nn.RNN(INPUT, HIDDEN, nonlinearity="relu"),
    "lstm": lambda: nn.LSTM(INPUT, HIDDEN),
    "gru": lambda: nn.GRU(INPUT, HIDDEN),
}


@cache
def chosen(name: str) -> DictConfig:
    node = compose_run([f"cell={name}"]).cell
    assert isinstance(node, DictConfig)
    return node


def make(name: str, input_size: int = INPUT, hidden_size: int = HIDDEN) -> Cell:
    node = chosen(name)
    torch.manual_seed(11)
    cell = target_of(node)(input_size, hidden_size, **arguments_of(node, "name", "backend"))
    assert isinstance(cell, Cell)
    return cell.double()


def sequence(cell: Cell) -> tuple[Tensor, State]:
    """A leaf input ``[time, batch, input]`` and a leaf initial state that is not zero."""
    torch.manual_seed(12)
    x = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    zeros = cell.initial_state(BATCH, x)
    return x, tuple(torch.randn_like(part).mul_(0.5).requires_grad_() for part in zeros)


def loop(cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The definition: one projection and one step at a time."""
    outputs = []
    for now in x:
        state = cell.step(cell.project(now), state)
        outputs.append(state[0])
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


@pytest.mark.parametrize("name", CELLS)
def test_the_fused_kernel_is_the_cell(name: str) -> None:
    cell = make(name)
    x, state = sequence(cell)
    if not cell.has_native:
        with pytest.raises(NotImplementedError):
            cell.native(x, state)
        return
    y, final = loop(cell, x, state)
    y_native, final_native = cell.native(x, state)
    leaves = [x, *state, *cell.parameters()]
    assert_same([y_native, *final_native], [y, *final])
    assert_same(gradients(y_native, final_native, leaves), gradients(y, final, leaves))


@pytest.mark.parametrize("name", CELLS)
def test_the_projection_of_all_steps_is_that_of_each(name: str) -> None:
    cell = make(name)
    x, _ = sequence(cell)
    together = cell.project(x)
    assert together.shape[:2] == (TIME, BATCH)
    assert_same([together], [torch.stack([cell.project(now) for now in x])])


@pytest.mark.parametrize("name", CELLS)
def test_parameters_are_counted_without_a_cell(name: str) -> None:
    cell = make(name, 7, 9)
    options = arguments_of(chosen(name), "name", "backend")
    counted = type(cell).parameter_count(7, 9, **options)
    assert counted == sum(parameter.numel() for parameter in cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_the_initial_state_has_the_shapes_and_type_of_its_batch(name: str) -> None:
    cell = make(name)
    for dtype in (torch.float32, torch.float64):
        state = cell.initial_state(BATCH, torch.zeros(1, dtype=dtype))
        assert len(state) == len(cell.state_names) == len(set(cell.state_names))
        for part in state:
            assert part.shape == (BATCH, HIDDEN)
            assert part.dtype == dtype
            assert not part.requires_grad


@pytest.mark.parametrize("name", CELLS)
def test_a_step_keeps_the_shapes_of_the_state(name: str) -> None:
    cell = make(name)
    x, state = sequence(cell)
    new = cell.step(cell.project(x[0]), state)
    assert [part.shape for part in new] == [part.shape for part in state]


@pytest.mark.parametrize("name", CELLS)
def test_batch_elements_do_not_see_each_other(name: str) -> None:
    cell = make(name)
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
def test_the_forget_bias_is_set_in_total_and_alone(name: str) -> None:
    cell = make(name)
    before = {key: value.detach().clone() for key, value in cell.named_parameters()}
    cell.set_forget_bias(1.5)
    after = dict(cell.named_parameters())
    gates = getattr(cell, "gates", ())
    if "f" not in gates:
        assert all(torch.equal(after[key], value) for key, value in before.items())
        return
    forget = gates.index("f")
    total = (after["bias_ih"] + after["bias_hh"]).chunk(len(gates))
    old = (before["bias_ih"] + before["bias_hh"]).chunk(len(gates))
    for index, (new_part, old_part) in enumerate(zip(total, old, strict=True)):
        expected = torch.full_like(old_part, 1.5) if index == forget else old_part
        torch.testing.assert_close(new_part, expected)
    assert torch.equal(after["weight_ih"], before["weight_ih"])
    assert torch.equal(after["weight_hh"], before["weight_hh"])


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

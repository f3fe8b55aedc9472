"""What compiled passes hold to in either precision."""

import pytest
import torch
from torch import Tensor

from compiled_passes import CELLS, Fixture, inputs_of, layer_of, using_threads
from unrolled.kernels.library import compiler
from unrolled.recurrence import analytic
from unrolled.recurrence.analytic import c_layer
from unrolled.recurrence.analytic.passes import kernel_for
from unrolled.recurrence.stack import Recurrence, States
from unrolled.recurrence.steps import Steps

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2"),
    pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"]),
]


def outputs(layer: Recurrence, x: Tensor, states: States, half: bool) -> tuple[Tensor, States]:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found: tuple[Tensor, States] = layer(x, states)
    return found


@pytest.mark.parametrize("name", CELLS)
def test_evaluation_gives_what_training_does(name: str, half: bool, named: Fixture) -> None:
    layer = layer_of(named, name)
    x, states = inputs_of(layer)
    y, final = outputs(layer, x, states, half)
    with torch.no_grad():
        again, last = outputs(layer, x, states, half)
    assert torch.equal(y, again)
    for state, other in zip(final, last, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(state, other, strict=True))


@pytest.mark.parametrize("part", [0, 1])
def test_the_gradient_of_one_final_state_alone(
    part: int, half: bool, named: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(named, "lstm")

    def gradients() -> tuple[Tensor, ...]:
        x, states = inputs_of(layer)
        _, final = outputs(layer, x, states, half)
        return torch.autograd.grad(final[-1][part].sum(), [x, *states[1], *layer.parameters()])

    found = gradients()
    monkeypatch.setattr(analytic, "kernel_for", lambda cell: None)
    for one, other in zip(found, gradients(), strict=True):
        assert float((one - other).norm()) <= (0.02 if half else 1e-6) * float(other.norm())


@pytest.mark.parametrize("name", CELLS)
def test_nothing_hides_a_number_that_is_none(name: str, half: bool, named: Fixture) -> None:
    # Of sizes that are not in eights oneDNN's tiles read a row's neighbour, too, times zero.
    layer = layer_of(named, name, 40)
    x, states = inputs_of(layer)
    with torch.no_grad():
        x[4, 2, 7] = torch.nan
    y, _ = outputs(layer, x, states, half)
    assert y[4:, 2].isnan().all()
    assert y[:4].isfinite().all()
    assert y[:, [0, 1, 3, 4]].isfinite().all()
    y[4:, 2].sum().backward()
    gradient = layer.get_parameter("cells.0.weight_hh").grad
    assert gradient is not None
    assert gradient.isnan().any()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh"])
def test_gates_saturate_at_any_size(name: str, half: bool, named: Fixture) -> None:
    layer = layer_of(named, name)
    x, states = inputs_of(layer)
    for scale in (1e2, 1e4, 1e30):
        y, _ = outputs(layer, x * scale, states, half)
        assert y.isfinite().all()
        assert float(y.detach().abs().max()) <= 1.5  # a state that a gate keeps may be above 1
        for gradient in torch.autograd.grad(y.sum(), [*layer.parameters()]):
            assert not gradient.isnan().any()


@pytest.mark.parametrize("lengths", [[13] * 11, [13, 13, 9, 9, 4, 1], [13, 1, 1, 1, 1]])
def test_threads_change_nothing(
    lengths: list[int], half: bool, named: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is compiled; PyTorch's products round by their threads."""
    monkeypatch.setattr(c_layer, "SHARE", 1)
    dtype = torch.bfloat16 if half else torch.float32
    for name in CELLS:
        cell = named(name)(24, 37)
        kernel, steps = kernel_for(cell), Steps(lengths)
        assert kernel is not None
        state = tuple(0.3 * torch.randn(13, 37) for _ in cell.state_names)
        z = torch.randn(steps.rows, len(cell.get_parameter("weight_hh"))).to(dtype)
        z.requires_grad_()
        results = []
        for number in (3, 1):
            with using_threads(number):
                states = c_layer.c_layer_steps(
                    cell, kernel[dtype], z.requires_grad_(), steps, state
                )
                total = torch.stack([part.square().sum() for part in states]).sum()
                results.append([*states, *torch.autograd.grad(total, z)])
        assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_other_types_run_by_pytorchs_operations(
    half: bool, named: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(named, "lstm")
    x, states = inputs_of(layer)
    monkeypatch.setattr(analytic, "c_layer_steps", None)  # a call would fail
    with pytest.raises(TypeError, match="not callable"):
        outputs(layer, x, states, half)
    doubles = tuple(tuple(part.double() for part in state) for state in states)
    assert layer.double()(x.double(), doubles)[0].dtype == torch.float64
    with torch.autocast("cpu", torch.float16):
        assert layer.float()(x, states)[0].isfinite().all()

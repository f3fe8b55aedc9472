"""What compiled passes hold to in either precision."""

import pytest
import torch
from torch import Tensor

from compiled_passes import CELLS, Fixture, inputs_of, layer_of
from unrolled.recurrence import analytic
from unrolled.recurrence.analytic.kernels import compiler
from unrolled.recurrence.stack import Recurrence, States

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
    layer = layer_of(named, name)
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

"""The compiled passes round as the written-out ones do, and lose nothing that those keep."""

import pytest
import torch

from compiled_passes import CELLS, Fixture, everything, inputs_of, layer_of
from unrolled.recurrence import analytic
from unrolled.recurrence.analytic.kernels import compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

LENGTHS = (None, [11, 7, 3, 3, 1], [11, 11, 11, 11, 4])


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "kernel_for", lambda cell: None)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", CELLS)
def test_as_far_from_the_truth_as_without_kernels(
    name: str,
    lengths: list[int] | None,
    named: Fixture,
    with_gradients: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = layer_of(named, name)
    truth = everything(layer, *inputs_of(layer), lengths, with_gradients, half=False)
    fused = everything(layer, *inputs_of(layer), lengths, with_gradients, half=True)
    without_kernels(monkeypatch)
    plain = everything(layer, *inputs_of(layer), lengths, with_gradients, half=True)
    assert any(not torch.equal(one, other) for one, other in zip(fused, plain, strict=True))
    for one, other, true in zip(fused, plain, truth, strict=True):
        assert one.dtype == other.dtype
        scale = float(true.detach().norm())
        allowed = 1.5 * float((other - true).detach().norm()) + 2**-9 * scale
        assert float((one - true).detach().norm()) <= allowed


def test_other_types_run_by_pytorchs_operations(
    named: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(named, "lstm")
    x, states = inputs_of(layer)
    monkeypatch.setattr(analytic, "bf16_steps", None)  # a call would fail
    assert layer(x, states)[0].dtype == torch.float32
    assert layer.double()(x.double())[0].dtype == torch.float64
    with torch.autocast("cpu", torch.float16):
        assert layer.float()(x, states)[0].isfinite().all()

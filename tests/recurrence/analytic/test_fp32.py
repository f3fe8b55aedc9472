"""Layers in compiled code give what PyTorch's operations do, at any size, with any threads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compiled_passes import CELLS, Fixture, forget_kernels, inputs_of, layer_of, using_threads
from compiled_passes import everything as everything_of
from unrolled.cells.lstm import LSTM
from unrolled.kernels import library
from unrolled.kernels.library import compiler
from unrolled.recurrence import analytic, c_steps
from unrolled.recurrence.analytic import c_layer
from unrolled.recurrence.analytic.passes import kernel_for
from unrolled.recurrence.stack import Recurrence

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

# Of thirteen sequences: all equal; all but a few of them short; one of them long.
LENGTHS = (
    None,
    [11, 11, 10, 9, 9, 9, 7, 5, 3, 3, 2, 1, 1],
    [11, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
)


@pytest.fixture(autouse=True, params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """With one thread, and with three that have work however little there is."""
    monkeypatch.setattr(c_layer, "SHARE", 1)
    with using_threads(request.param):
        yield request.param


def everything(
    layer: Recurrence, lengths: list[int] | None, with_gradients: Fixture, batch: int = 13
) -> list[Tensor]:
    return everything_of(layer, *inputs_of(layer, batch), lengths, with_gradients)


def truth_of(
    layer: Recurrence, lengths: list[int] | None, with_gradients: Fixture, batch: int = 13
) -> list[Tensor]:
    """The same in double precision."""
    x, states = inputs_of(layer, batch)
    doubles = tuple(tuple(p.detach().double().requires_grad_() for p in s) for s in states)
    x = x.detach().double().requires_grad_()
    results = everything_of(layer.double(), x, doubles, lengths, with_gradients)
    layer.float()
    return results


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", CELLS)
def test_as_far_from_the_truth_as_pytorchs_operations(
    name: str,
    lengths: list[int] | None,
    named: Fixture,
    with_gradients: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = layer_of(named, name)
    compiled = everything(layer, lengths, with_gradients)
    with monkeypatch.context() as without:
        without.setattr(analytic, "kernel_for", lambda cell: None)
        without.setattr(analytic, "c_layer_steps", None)  # a call would fail
        plain = everything(layer, lengths, with_gradients)
    truth = truth_of(layer, lengths, with_gradients)
    for one, other, true in zip(compiled, plain, truth, strict=True):
        assert one.dtype == torch.float32
        allowed = 1.5 * float((other - true).detach().norm()) + 2e-7 * float(true.detach().norm())
        assert float((one - true).detach().norm()) <= allowed


@pytest.mark.parametrize("size", [1, 7, 8, 15, 16, 17, 31, 32, 33, 48])
def test_sizes_that_fill_no_vector_and_batches_that_fill_no_block(
    size: int, named: Fixture, with_gradients: Fixture
) -> None:
    for batch in (*range(1, 9), 13):
        for name in ("lstm", "gru", "rnn_tanh"):
            layer = layer_of(named, name, size)
            found = everything(layer, None, with_gradients, batch)
            for one, true in zip(found, truth_of(layer, None, with_gradients, batch), strict=True):
                # A gradient of one number is a sum that may cancel.
                allowed = 2e-6 * float(true.detach().norm()) + 1e-6
                assert float((one - true).detach().norm()) <= allowed


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_has_the_same_states_in_any_company(name: str, named: Fixture) -> None:
    layer = layer_of(named, name)
    x, states = inputs_of(layer, 13)
    with torch.no_grad():
        y, _ = layer(x, states)
        alone, _ = layer(x[:, 4:5], tuple(tuple(p[4:5] for p in state) for state in states))
    # Its projections are PyTorch's, which may round otherwise for another number of rows.
    torch.testing.assert_close(y[:, 4:5], alone, rtol=0, atol=1e-6)


def test_small_states_keep_their_digits(named: Fixture) -> None:
    """A tanh from an exponential alone would lose four of them."""
    layer = layer_of(named, "rnn_tanh")
    x, states = inputs_of(layer, 13)
    for parameter in layer.parameters():
        parameter.data *= 1e-3
    zeros = tuple(tuple(torch.zeros_like(part) for part in state) for state in states)
    y, _ = layer(x * 1e-3, zeros)
    exact, _ = layer.double()(
        x.double() * 1e-3, tuple(tuple(p.double() for p in s) for s in zeros)
    )
    assert float(((y - exact) / exact).detach().abs().median()) <= 2e-7


def test_tensors_of_any_layout(named: Fixture) -> None:
    layer = layer_of(named, "gru")
    x, states = inputs_of(layer, 13)
    expected = torch.autograd.grad(layer(x, states)[0].square().sum(), [x, *layer.parameters()])
    for index in range(2):
        weight = layer.get_parameter(f"cells.{index}.weight_hh")
        weight.data = weight.data.t().contiguous().t()
    spread = tuple(tuple(p.t().contiguous().t() for p in state) for state in states)
    there = x.transpose(0, 1).contiguous().transpose(0, 1)
    found = torch.autograd.grad(layer(there, spread)[0].square().sum(), [x, *layer.parameters()])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_width_of_vectors_changes_nothing(
    named: Fixture, with_gradients: Fixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layers = [layer_of(named, name) for name in CELLS]
    expected = [everything(layer, LENGTHS[1], with_gradients) for layer in layers]
    other = 8 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 16
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, f"-DWIDTH={other}"))
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path))
    before = kernel_for(LSTM(2, 3))
    forget_kernels()
    try:
        assert kernel_for(LSTM(2, 3)) is not before
        for layer, ones in zip(layers, expected, strict=True):
            found = everything(layer, LENGTHS[1], with_gradients)
            assert all(torch.equal(one, two) for one, two in zip(ones, found, strict=True))
    finally:
        forget_kernels()


def test_without_openmp_there_is_one_thread(
    named: Fixture, with_gradients: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(named, "lstm")
    expected = everything(layer, None, with_gradients)
    monkeypatch.setattr(c_steps, "PARALLEL", None)
    for one, other in zip(expected, everything(layer, None, with_gradients), strict=True):
        torch.testing.assert_close(one, other)

"""A gate that reads the input alone: all steps in C give what its coefficients do."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from compiled_passes import using_threads
from unrolled.cells.min_gru import MinGRU
from unrolled.cells.min_lstm import MinLSTM
from unrolled.kernels.library import compiler
from unrolled.recurrence import interpolation
from unrolled.recurrence.interpolation import interpolated
from unrolled.recurrence.scan import scan
from unrolled.recurrence.stack import Recurrence
from unrolled.recurrence.steps import Steps

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

LAYOUTS = [[3] * 9, [13, 13, 9, 9, 4, 1, 1], [2], [1] * 300]
Fixture = Callable[..., Any]


@pytest.fixture(autouse=True, params=[1, 3])
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(interpolation, "SHARE", 1)
    with using_threads(request.param):
        yield


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("size", [1, 15, 16, 40])
@pytest.mark.parametrize("sizes", LAYOUTS, ids=str)
def test_it_is_the_recurrence_with_its_gradients(
    sizes: list[int], size: int, scale: float, with_gradients: Fixture
) -> None:
    torch.manual_seed(2)
    steps = Steps(sizes)
    given = (scale * torch.randn(steps.rows, 2 * size)).requires_grad_()
    initial = torch.randn(steps.batch, size, requires_grad=True)
    found = with_gradients([interpolated(given, initial, steps)], [given, initial])
    exact = [part.detach().double().requires_grad_() for part in (given, initial)]
    g, c = exact[0].chunk(2, -1)
    truth = with_gradients([scan(torch.sigmoid(-g), torch.sigmoid(g) * c, exact[1], steps)], exact)
    for one, true in zip(found, truth, strict=True):
        assert float((one - true).detach().norm()) <= 1e-6 * float(true.detach().norm())


@pytest.mark.parametrize("candidate", ["linear", "positive"])
@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
@pytest.mark.parametrize("lengths", [None, [7, 2, 5]])
def test_cells_run_by_it(
    kind: type[MinGRU | MinLSTM],
    candidate: Literal["linear", "positive"],
    lengths: list[int] | None,
    with_gradients: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    layer = Recurrence(lambda inputs, size: kind(inputs, size, candidate=candidate), 5, 24)
    x = torch.randn(7, 3, 5, requires_grad=True)
    called: list[int] = []

    def counted(given: Tensor, initial: Tensor, steps: Steps) -> Tensor:
        called.append(1)
        return interpolated(given, initial, steps)

    def everything() -> list[Tensor]:
        y, states = layer(x, None, None if lengths is None else torch.tensor(lengths))
        found: list[Tensor] = with_gradients([y, states[0][0]], [x, *layer.parameters()])
        return found

    monkeypatch.setattr("unrolled.recurrence.layer.interpolated", counted)
    found = everything()
    assert called
    monkeypatch.setattr("unrolled.recurrence.layer.has_interpolation", lambda *_: False)
    for one, other in zip(found, everything(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_subclass_with_coefficients_of_its_own_runs_by_those() -> None:
    class Halved(MinGRU):
        def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
            a, b = super().coefficients(z)
            return 0.5 * a, b

    x = torch.randn(6, 2, 3)
    layer, other = (Recurrence(Halved, 3, 8, backend=one) for one in ("scan", "eager"))
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], other(x)[0])


def test_a_cell_that_writes_neither_is_told() -> None:
    class Nothing(MinGRU):
        def gate_and_candidate(self, z: Tensor) -> None:  # type: ignore[override]
            return None

    with pytest.raises(NotImplementedError, match="Nothing has neither coefficients nor gate"):
        Recurrence(Nothing, 3, 8)(torch.randn(4, 2, 3))


def test_what_is_not_a_number_stays_none() -> None:
    steps = Steps([2] * 5)
    given = torch.randn(10, 8)
    given[4, 3] = torch.nan
    states = interpolated(given, torch.zeros(2, 4), steps).view(5, 2, 4)
    assert states[2:, 0, 3].isnan().all()
    assert int(states.isnan().sum()) == 3


def test_a_closed_gate_keeps_the_state_where_small_numbers_are_zero() -> None:
    steps, initial = Steps([1] * 4), torch.tensor([[0.5, -2.0]])
    given = torch.tensor([[-100.0, -1e30, 1.0, 1.0]]).expand(4, 4)
    there = torch.set_flush_denormal(True)
    try:
        states = interpolated(given, initial, steps)
    finally:
        torch.set_flush_denormal(False)
    assert there
    torch.testing.assert_close(states, initial.expand(4, 2))


def test_torch_compile_traces_the_scan_and_other_types_take_it() -> None:
    layer, x = Recurrence(MinGRU, 3, 8), torch.randn(11, 2, 3)
    y, _ = layer(x)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Dynamo detected")
        traced, _ = torch.compile(layer, backend="eager")(x)
    torch.testing.assert_close(traced, y)
    doubled, _ = layer.double()(x.double())
    assert doubled.dtype == torch.float64

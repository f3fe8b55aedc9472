"""Dropout along time, on the state's way into a step, on weights, and zoneout."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.cells.gru import GRU
from unrolled.cells.indrnn import IndRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.min_gru import MinGRU
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.cells.slstm import SLSTM
from unrolled.config.locations import config_directory
from unrolled.errors import ConfigError
from unrolled.recurrence.dropout import RecurrentDropout, RecurrentRegularization, TimeDropout
from unrolled.recurrence.stack import Recurrence

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
LINEAR = ["lru", "min_gru", "min_lstm", "qrnn", "sru"]
Fixture = Callable[..., Any]


def dropped(dropout: TimeDropout) -> Tensor:
    y = dropout(torch.ones(9, 4, 200))
    assert isinstance(y, Tensor)
    return y


def test_a_locked_mask_is_the_same_at_all_times_and_new_for_each_chunk() -> None:
    torch.manual_seed(0)
    dropout = TimeDropout(0.4, locked=True)
    first, second = dropped(dropout), dropped(dropout)
    assert torch.equal(first, first[:1].expand_as(first))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0, 0], first[0, 1])


def test_an_unlocked_mask_changes_from_step_to_step() -> None:
    torch.manual_seed(0)
    y = dropped(TimeDropout(0.4))
    assert not torch.equal(y[0], y[1])


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    for locked in (False, True):
        y = TimeDropout(0.4, locked=locked)(torch.ones(1, 100, 1000))
        assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
        assert abs(float(y.mean()) - 1) < 0.02


def test_evaluation_and_a_rate_of_zero_leave_everything() -> None:
    x = torch.randn(3, 2, 5)
    for locked in (False, True):
        assert torch.equal(TimeDropout(0.9, locked=locked).eval()(x), x)
        assert torch.equal(TimeDropout(0.0, locked=locked)(x), x)


def test_the_gradient_passes_through_the_same_mask() -> None:
    x = torch.ones(5, 2, 50, requires_grad=True)
    y = TimeDropout(0.5, locked=True)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())


def layer_of(make: Any, **rates: float) -> Recurrence:
    torch.manual_seed(4)
    return Recurrence(make, 3, 8, regularization=RecurrentRegularization(**rates)).double()


def inputs(time: int = 6, batch: int = 3) -> Tensor:
    torch.manual_seed(5)
    return torch.randn(time, batch, 3, dtype=torch.float64)


def mask_of(monkeypatch: pytest.MonkeyPatch, values: Tensor) -> None:
    monkeypatch.setattr(RecurrentDropout, "mask", lambda *_: values)


@pytest.mark.parametrize("make", [LSTM, GRU, RnnTanh, IndRNN])
def test_recurrent_dropout_is_on_what_the_weights_read(
    make: type[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(make, recurrent_dropout=0.5)
    mask = torch.rand(3, 8, dtype=torch.float64)
    mask_of(monkeypatch, mask)
    x = inputs()
    y, _ = layer(x)
    (cell,) = layer.cells
    assert isinstance(cell, Cell)
    # The same by hand: only the weight's copy of the state is under the mask.
    state = cell.initial_state(3, x)
    weight, outputs = cell.get_parameter("weight_hh"), []
    for z in cell.project(x):
        if make is IndRNN:
            state = (torch.relu(z + weight * (state[0] * mask)),)
        else:
            read = F.linear(state[0] * mask, weight, cell.bias_hh)  # type: ignore[arg-type]
            cell.recur = lambda h, read=read: read  # type: ignore[assignment]
            state = cell.step(z, state)
        outputs.append(state[0])
    torch.testing.assert_close(y, torch.stack(outputs), rtol=0, atol=1e-12)


def test_one_mask_serves_all_steps_of_a_sequence() -> None:
    torch.manual_seed(0)
    masks = RecurrentDropout(0.4, 50, seed=3)
    like = torch.ones(20, 300)
    first = masks.mask("weight_hh", like)
    assert first.shape == (50, 300)
    assert torch.equal(first, RecurrentDropout(0.4, 50, seed=3).mask("weight_hh", like))
    assert not torch.equal(first, masks.mask("another", like))
    assert set(first.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert abs(float(first.mean()) - 1) < 0.03
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout_works_on_every_cell_in_training_only(name: str, named: Fixture) -> None:
    layer = layer_of(named(name), recurrent_dropout=0.4)
    plain = layer_of(named(name))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3)
    x = inputs()
    torch.manual_seed(1)
    first = layer(x)[0]
    second = layer(x)[0]
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(layer(x)[0], first)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.eval()(x)[0], plain.eval()(x)[0])
    first.sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_recurrence_drops_what_it_writes(name: str, named: Fixture) -> None:
    scanned = layer_of(named(name), recurrent_dropout=0.4)
    looped = layer_of(named(name), recurrent_dropout=0.4)
    looped.requested = "eager"
    x, lengths = inputs(), torch.tensor([6, 2, 4])
    for options in ({}, {"lengths": lengths}):
        torch.manual_seed(1)
        found, _ = scanned(x, **options)
        torch.manual_seed(1)
        expected, _ = looped(x, **options)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_what_is_written_is_dropped_and_what_is_kept_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = layer_of(MinGRU, recurrent_dropout=0.5)
    mask_of(monkeypatch, torch.zeros(3, 8, dtype=torch.float64))
    x = inputs()
    start = ((torch.rand(3, 8, dtype=torch.float64),),)
    y, _ = layer(x, start)
    (cell,) = layer.cells
    assert isinstance(cell, MinGRU)
    keep, _ = cell.coefficients(cell.project(x))
    torch.testing.assert_close(y, keep.cumprod(0) * start[0][0])


class Unmaskable(RnnTanh):
    """Reads its recurrent weight in a way that the engine does not look after."""

    def recur(self, h: Tensor) -> Tensor:
        return torch.einsum("bi,oi->bo", h, self.weight_hh)


def test_a_weight_that_is_read_in_another_way_is_refused() -> None:
    assert layer_of(Unmaskable)(inputs())[0].isfinite().all()
    with pytest.raises(ConfigError, match=r"recurrent_dropout: .* weight_hh by einsum.*linear\(h"):
        Recurrence(
            Unmaskable,
            3,
            8,
            backend="eager",
            regularization=RecurrentRegularization(recurrent_dropout=0.1),
        )(torch.randn(2, 2, 3))


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_weight_dropout_drops_recurrent_weights_alone(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    layer = Recurrence(
        GRU, 3, 8, backend=backend, regularization=RecurrentRegularization(weight_dropout=0.5)
    ).double()
    plain = Recurrence(GRU, 3, 8, backend=backend).double()
    plain.load_state_dict(layer.state_dict())
    x = inputs()
    torch.manual_seed(2)
    y, _ = layer(x)
    torch.manual_seed(2)
    (cell,) = layer.cells
    assert isinstance(cell, GRU)
    mask = F.dropout(torch.ones_like(cell.weight_hh), 0.5)
    with torch.no_grad():
        plain.cells[0].weight_hh.mul_(mask)  # type: ignore[operator]
    torch.testing.assert_close(y, plain(x)[0], rtol=0, atol=1e-12)
    y.sum().backward()
    assert cell.weight_hh.grad is not None
    assert cell.weight_hh.grad[mask == 0].eq(0).all()
    assert cell.weight_hh.grad[mask > 0].ne(0).all()
    assert isinstance(cell.weight_hh, nn.Parameter)
    assert not torch.equal(layer(x)[0], y)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer.eval()(x)[0], plain.eval()(x)[0])


@pytest.mark.parametrize("name", CELLS)
def test_zoneout_keeps_units_and_in_evaluation_their_share(name: str, named: Fixture) -> None:
    layer = layer_of(named(name), zoneout=0.3)
    (cell,) = layer.cells
    assert isinstance(cell, Cell)
    x = inputs(time=1, batch=200)
    states = layer.initial_states(200, x)
    start = tuple(torch.rand_like(part) + 0.1 for part in states[0])
    _, (final,) = layer(x, (start,))
    window = torch.cat([x[0], *([start[-1]] if cell.window > 1 else [])], -1)
    parts = start[: len(cell.state_names)]
    new = cell.step(cell.project(window), parts)
    kept = final[0] == parts[0]
    assert 0.2 < float(kept.double().mean()) < 0.4
    torch.testing.assert_close(final[0][~kept], new[0][~kept], rtol=0, atol=1e-12)
    _, (mean,) = layer.eval()(x, (start,))
    expected = 0.3 * parts[0] + 0.7 * new[0]
    torch.testing.assert_close(mean[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LINEAR)
def test_zoneout_is_the_same_by_scan_and_by_loop(name: str, named: Fixture) -> None:
    scanned, looped = (layer_of(named(name), zoneout=0.3) for _ in range(2))
    looped.requested = "eager"
    x = inputs()
    for training in (True, False):
        results = []
        for layer in (scanned.train(training), looped.train(training)):
            torch.manual_seed(3)
            results.append(layer(x, lengths=torch.tensor([6, 2, 4]))[0])
        torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def test_the_memory_of_slstm_is_mixed_by_its_true_values() -> None:
    layer = layer_of(SLSTM, zoneout=0.25).eval()
    (cell,) = layer.cells
    assert isinstance(cell, SLSTM)
    x = inputs(time=1)
    # The same memory under another stabilizer is the same memory.
    h, c, n, m = (torch.rand(3, 8, dtype=torch.float64) + 0.1 for _ in range(4))
    outcomes = []
    for shift in (0.0, 3.0):
        state: State = (
            h,
            c * torch.exp(torch.tensor(shift)),
            n * torch.exp(torch.tensor(shift)),
            m - shift,
        )
        _, ((_, c_new, n_new, m_new),) = layer(x, (state,))
        outcomes.append((c_new / n_new, n_new * torch.exp(m_new)))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other)

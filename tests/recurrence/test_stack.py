"""Layers, directions, carried state, unequal lengths, residual connections and recomputation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from unrolled.cells.base import Cell
from unrolled.cells.gru import GRU
from unrolled.cells.lstm import LSTM
from unrolled.cells.min_gru import MinGRU
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.config.locations import config_directory
from unrolled.errors import ConfigError
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.stack import Recurrence, States, detach

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
ALL_OF_IT = 1 - 1e-9
LENGTHS = torch.tensor([3, 7, 1, 5, 5])
Fixture = Callable[..., Any]


def double(make: Any, **options: Any) -> Recurrence:
    torch.manual_seed(1)
    stack = Recurrence(make, 3, 8, **options).double()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return stack


def inputs(time: int, batch: int) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(time, batch, 3, dtype=torch.float64, requires_grad=True)


def flat(states: States) -> list[Tensor]:
    return [part for state in states for part in state]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_three_layers_are_pytorchs(
    name: str,
    backend: str,
    bidirectional: bool,
    lengths: Tensor | None,
    named: Fixture,
    with_gradients: Fixture,
    same: Fixture,
) -> None:
    ours = double(named(name), layers=3, bidirectional=bidirectional, backend=backend)
    modules = {"lstm": nn.LSTM, "gru": nn.GRU}
    kind: Any = modules.get(name, nn.RNN)
    extra = {"nonlinearity": "relu"} if name == "rnn_relu" else {}
    theirs = kind(3, 8, 3, bidirectional=bidirectional, **extra).double()
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(one)
    x = inputs(7, 5)
    y, states = ours(x, lengths=lengths)
    expected: Any = x
    if lengths is not None:
        expected = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    expected, final = theirs(expected)
    if lengths is not None:
        expected, _ = nn.utils.rnn.pad_packed_sequence(expected, total_length=7)
    final = final if isinstance(final, tuple) else (final,)
    found = [y, *(torch.stack(part) for part in zip(*states, strict=True))]
    same(
        with_gradients(found, [x, *ours.parameters()]),
        with_gradients([expected, *final], [x, *theirs.parameters()]),
    )


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("name", CELLS)
def test_two_halves_with_a_training_state_dict_are_the_whole(
    name: str, backend: str, named: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    stack = double(named(name), layers=3, backend=backend)
    x = inputs(9, 2)
    leaves = [x, *stack.parameters()]
    whole, final = stack(x)
    first, carried = stack(x[:4])
    second, end = stack(x[4:], carried)
    same(
        with_gradients([torch.cat([first, second]), *flat(end)], leaves),
        with_gradients([whole, *flat(final)], leaves),
    )


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_batch_of_unequal_lengths_is_each_sequence_alone(
    name: str, bidirectional: bool, named: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    stack = double(named(name), layers=3, bidirectional=bidirectional)
    x = inputs(7, 5)
    leaves = [x, *stack.parameters()]
    starts = tuple(
        tuple(torch.rand_like(part) + 0.1 for part in state)
        for state in stack.initial_states(5, x)
    )
    y, states = stack(x, starts, LENGTHS)
    found: list[Tensor] = []
    expected: list[Tensor] = []
    for row, length in enumerate(LENGTHS.tolist()):
        start = tuple(tuple(part[row : row + 1] for part in state) for state in starts)
        alone, final = stack(x[:length, row : row + 1], start)
        found += [y[:length, row], *(part[row] for part in flat(states))]
        expected += [alone[:, 0], *(part[0] for part in flat(final))]
        assert y[length:, row].eq(0).all()
    same(with_gradients(found, leaves), with_gradients(expected, leaves))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "min_gru", "qrnn"])
def test_what_is_padding_is_never_read(name: str, named: Fixture) -> None:
    stack = double(named(name), layers=2, bidirectional=True)
    x = inputs(7, 5).detach()
    for row, length in enumerate(LENGTHS.tolist()):
        x[length:, row] = torch.nan
    x.requires_grad_()
    y, states = stack(x, lengths=LENGTHS)
    assert all(part.isfinite().all() for part in [y, *flat(states)])
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in stack.parameters())


@pytest.mark.parametrize("lengths", [[3, 0], [4, 9], [1, 2, 3]])
def test_lengths_that_cannot_be_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths"):
        Recurrence(LSTM, 3, 4)(torch.randn(5, 2, 3), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("name", CELLS)
def test_a_detached_state_keeps_its_values_and_passes_no_gradient(
    name: str, named: Fixture
) -> None:
    stack = double(named(name), layers=2)
    x = inputs(6, 2)
    _, carried = stack(x[:3])
    kept = detach(carried)
    assert all(torch.equal(a, b) for a, b in zip(flat(kept), flat(carried), strict=True))
    y, _ = stack(x[3:], kept)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[:3].eq(0).all()
    assert gradient[3:].ne(0).any()


def test_a_residual_connection_goes_around_each_layer_but_the_first() -> None:
    stack = double(RnnTanh, layers=3, residual=True)
    x = inputs(4, 2)
    y, _ = stack(x)
    expected = x
    for index, cell in enumerate(stack.cells):
        made = Recurrence(lambda *_, cell=cell: cell, 3, 8)
        out, _ = made(expected)
        expected = out if index == 0 else expected + out
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_last_layer_of_its_own_width_is_a_layer_on_top_of_the_others(
    name: str, bidirectional: bool, named: Fixture
) -> None:
    stack = double(named(name), layers=3, bidirectional=bidirectional, last_size=4)
    below = Recurrence(named(name), 3, 8, 2, bidirectional=bidirectional).double()
    above = Recurrence(named(name), below.output_size, 4, bidirectional=bidirectional).double()
    split = len(below.cells)
    below.cells = stack.cells[:split]
    above.cells = stack.cells[split:]
    x = inputs(5, 2)
    y, states = stack(x)
    assert stack.output_size == above.output_size == y.shape[-1]
    lower, first = below(x)
    expected, last = above(lower)
    torch.testing.assert_close(y, expected)
    for one, other in zip(flat(states), flat(first) + flat(last), strict=True):
        torch.testing.assert_close(one, other)


def test_locked_dropout_is_as_wide_as_the_layer_below_a_narrower_one() -> None:
    stack = double(LSTM, layers=3, last_size=4, dropout=0.5, locked=True)
    y, _ = stack(inputs(5, 2))
    assert y.shape == (5, 2, 4)
    assert not torch.equal(y, stack.eval()(inputs(5, 2))[0])


def test_a_projection_narrows_what_the_next_layer_reads() -> None:
    stack = Recurrence(lambda i, h: LSTM(i, h, projection_size=5), 3, 8, 2, bidirectional=True)
    products = [4 * 8 * (width + 5) + 8 * 5 for width in (3, 3, 10, 10)]
    assert stack.flops_per_token() == 2 * sum(products)
    assert stack.state_size() == 4 * (5 + 8)
    assert stack.output_size == 10
    y, states = stack(torch.randn(4, 2, 3))
    assert y.shape == (4, 2, 10)
    assert [part.shape[1] for part in flat(states)] == [5, 8] * 4


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_recomputation_changes_nothing(
    name: str,
    bidirectional: bool,
    lengths: Tensor | None,
    named: Fixture,
    with_gradients: Fixture,
    same: Fixture,
) -> None:
    stack = double(named(name), layers=2, bidirectional=bidirectional)
    x = inputs(7, 5)
    leaves = [x, *stack.parameters()]
    results = []
    for recompute in (False, True):
        stack.recompute = recompute
        y, states = stack(x, lengths=lengths)
        results.append(with_gradients([y, *flat(states)], leaves))
    same(*results)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "min_gru"])
def test_recomputation_draws_the_same_masks_again(name: str, named: Fixture) -> None:
    regularization = RecurrentRegularization(recurrent_dropout=0.3, zoneout=0.2)
    stack = double(
        named(name), layers=2, dropout=0.3, regularization=regularization, recompute=True
    )
    x = inputs(9, 2)
    torch.manual_seed(7)
    y, _ = stack(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    # Finite differences along one direction, with the same draws.
    direction = torch.randn_like(x)
    ends = []
    for sign in (1, -1):
        torch.manual_seed(7)
        with torch.no_grad():
            stack.recompute = True
            moved = (x + sign * 1e-6 * direction).detach().requires_grad_()
            with torch.enable_grad():
                ends.append(float(stack(moved)[0].detach().sum()))
    slope = (ends[0] - ends[1]) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def kept_bytes(stack: Recurrence, time: int) -> int:
    """What lies in memory between the passes because of ``stack``, beside input and output."""
    x = torch.randn(time, 4, 3, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        y, states = stack(x)
    recorded: Any = profiler.profiler
    events = recorded.kineto_results.events()
    allocated = sum(event.nbytes() for event in events if event.name() == "[memory]")
    assert states
    return int(allocated - y.numel() * y.element_size())


@pytest.mark.parametrize("make", [LSTM, GRU, MinGRU])
def test_memory_grows_with_the_square_root_of_time(make: type[Cell]) -> None:
    backend = "auto" if make is MinGRU else "eager"
    whole = Recurrence(make, 3, 16, backend=backend)
    less = Recurrence(make, 3, 16, backend=backend, recompute=True)
    assert kept_bytes(whole, 1024) / kept_bytes(whole, 64) > 12
    assert kept_bytes(less, 1024) / kept_bytes(less, 64) < 5
    assert kept_bytes(less, 1024) < kept_bytes(whole, 1024) / 10


def test_one_layer_has_no_dropout() -> None:
    torch.manual_seed(1)
    stack = Recurrence(LSTM, 3, 4, 1, dropout=ALL_OF_IT)
    x = torch.randn(5, 2, 3)
    training, _ = stack(x)
    evaluating, _ = stack.eval()(x)
    torch.testing.assert_close(training, evaluating)


def test_dropout_is_between_layers_only() -> None:
    torch.manual_seed(1)
    stack = Recurrence(RnnTanh, 3, 4, 2, dropout=ALL_OF_IT)
    x = torch.randn(5, 2, 3)
    y, (first, _) = stack(x)
    # With everything dropped between them the second layer reads zeros; nothing after it is lost.
    below, above = stack.cells
    y_below, _ = Recurrence(lambda *_: below, 3, 4)(x)  # type: ignore[arg-type]
    zeros = torch.zeros(5, 2, 4)
    y_above, _ = Recurrence(lambda *_: above, 4, 4)(zeros)  # type: ignore[arg-type]
    torch.testing.assert_close(first[0], y_below[-1])
    torch.testing.assert_close(y, y_above)


class Through(Cell):
    """Passes its input on, so that one sees what comes between the layers."""

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, z: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (z,)


@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 4])], ids=["equal", "unequal"])
@pytest.mark.parametrize("locked", [False, True])
def test_dropout_has_new_masks_for_each_layer_and_call(
    locked: bool, lengths: Tensor | None
) -> None:
    torch.manual_seed(1)
    stack = Recurrence(Through, 400, 400, 3, dropout=0.5, locked=locked)
    first, second = (stack(torch.ones(4, 2, 400), lengths=lengths)[0] for _ in range(2))
    assert not torch.equal(first, second)
    # Two masks of a half each, scaled by two each.
    assert set(first[:2].unique().tolist()) == {0.0, 4.0}
    assert abs(float(first[:2].eq(0).float().mean()) - 0.75) < 0.05
    assert torch.equal(first[0], first[1]) is locked
    assert not torch.equal(first[0, 0], first[0, 1])


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("name", CELLS)
def test_a_single_precision_state_is_carried_through_half_precision(
    name: str, backend: str, named: Fixture
) -> None:
    torch.manual_seed(1)
    stack = Recurrence(named(name), 3, 8, 2, backend=backend)
    exact, _ = stack(torch.ones(5, 2, 3), stack.initial_states(2, torch.zeros(1)))
    carried = stack.initial_states(2, torch.zeros(1))
    with torch.autocast("cpu", torch.bfloat16):
        y, states = stack(torch.ones(5, 2, 3), carried)
        stack(torch.ones(5, 2, 3), detach(states))[0].float().sum().backward()
    assert float((y.float() - exact).detach().abs().max()) < 0.05
    assert all(p.grad is not None and p.grad.isfinite().all() for p in stack.parameters())


def test_weights_for_dropout_must_be_there() -> None:
    for regularization, said in (
        (
            RecurrentRegularization(weight_dropout=0.3),
            r"model\.weight_dropout=0\.3: MinGRU has no recurrent weights",
        ),
        (
            RecurrentRegularization(recurrent_dropout=0.3),
            r"model\.recurrent_dropout=0\.3: Through names no recurrent",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            Recurrence(
                MinGRU if regularization.weight_dropout else Through,
                3,
                4,
                regularization=regularization,
            )

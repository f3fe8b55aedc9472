from functools import cache, partial

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from unrolled.cells.base import Cell
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.recurrence.stack import Recurrence, States, detach

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
ALL_OF_IT = 1 - 1e-9


@cache
def chosen(name: str) -> DictConfig:
    node = compose_run([f"cell={name}"]).cell
    assert isinstance(node, DictConfig)
    return node


def stack_of(name: str, backend: str) -> Recurrence:
    node = chosen(name)
    cell = partial(target_of(node), **arguments_of(node, "name", "backend"))
    torch.manual_seed(1)
    return Recurrence(cell, 3, 4, 2, backend=backend).double()


def flat(states: States) -> list[Tensor]:
    return [part for state in states for part in state]


def test_layers_are_pytorchs_layers() -> None:
    torch.manual_seed(1)
    ours = Recurrence(LSTM, 3, 4, 3).double()
    theirs = nn.LSTM(3, 4, 3).double()
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(one)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    y, states = ours(x)
    y_theirs, (h, c) = theirs(x)
    torch.testing.assert_close(y, y_theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack([s[0] for s in states]), h, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack([s[1] for s in states]), c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("name", CELLS)
def test_two_halves_with_a_carried_state_are_the_whole(name: str, backend: str) -> None:
    stack = stack_of(name, backend)
    x = torch.randn(9, 2, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(9, 2, 4, dtype=torch.float64)
    whole, final = stack(x)
    first, carried = stack(x[:4])
    second, final_again = stack(x[4:], carried)
    halves = torch.cat([first, second])
    leaves = [x, *stack.parameters()]
    found = torch.autograd.grad((halves * weights).sum(), leaves)
    expected = torch.autograd.grad((whole * weights).sum(), leaves)
    for one, other in zip(
        [halves, *flat(final_again), *found], [whole, *flat(final), *expected], strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_a_detached_state_keeps_its_values_and_passes_no_gradient(name: str) -> None:
    stack = stack_of(name, "auto")
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    _, carried = stack(x[:3])
    kept = detach(carried)
    assert all(torch.equal(a, b) for a, b in zip(flat(kept), flat(carried), strict=True))
    y, _ = stack(x[3:], kept)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[:3].eq(0).all()
    assert gradient[3:].ne(0).any()


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
    assert isinstance(below, Cell)
    assert isinstance(above, Cell)
    y_below, _ = Recurrence(lambda *_: below, 3, 4)(x)
    y_above, _ = Recurrence(lambda *_: above, 4, 4)(torch.zeros(5, 2, 4))
    torch.testing.assert_close(first[0], y_below[-1])
    torch.testing.assert_close(y, y_above)


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_has_a_new_mask_between_each_two_layers(locked: bool) -> None:
    torch.manual_seed(1)
    stack = Recurrence(RnnTanh, 50, 50, 3, dropout=0.5, locked=locked)
    masks = []
    stack.dropout.register_forward_hook(lambda *args: masks.append(args[2] == 0))
    stack(torch.randn(4, 2, 50))
    assert len(masks) == 2
    assert not torch.equal(masks[0], masks[1])
    for mask in masks:
        assert torch.equal(mask[0], mask[1]) is locked


def test_the_state_follows_the_precision_of_autocast() -> None:
    stack = Recurrence(RnnTanh, 3, 4, 2, backend="eager")
    carried = tuple((torch.randn(2, 4),) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        y, states = stack(torch.randn(5, 2, 3), carried)
        stack(torch.randn(5, 2, 3), states)
    assert torch.isfinite(y).all()

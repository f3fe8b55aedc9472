from functools import partial

import numpy as np
import pytest
import torch

from unrolled.cells.base import State
from unrolled.cells.indrnn import IndRNN
from unrolled.errors import ConfigError
from unrolled.recurrence.stack import Recurrence


def test_the_steps_are_the_published_equation() -> None:
    torch.manual_seed(3)
    cell = IndRNN(4, 5).double()
    W, u, b = (p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih))
    x = torch.randn(6, 4, dtype=torch.float64)
    h = torch.randn(5, dtype=torch.float64)
    expected = h.numpy()
    state: State = (h[None],)
    for now in x:
        with torch.no_grad():
            state = cell.step(cell.project(now[None]), state)
        expected = np.maximum(0, W @ now.numpy() + u * expected + b)
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)


def test_units_do_not_see_each_other() -> None:
    cell = IndRNN(4, 5)
    h = torch.rand(1, 5, requires_grad=True)
    (new,) = cell.step(torch.ones(1, 5), (h,))
    (gradient,) = torch.autograd.grad(new[0, 2], h)
    assert gradient[0, 2] == cell.weight_hh[2]
    assert gradient.count_nonzero() == 1


def test_the_recurrent_weights_start_in_their_range() -> None:
    u = IndRNN(4, 2000).weight_hh
    assert u.min() >= 0
    assert u.max() <= 1
    assert 0.45 < u.mean() < 0.55
    u = IndRNN(4, 2000, recurrent_min=0.9, recurrent_max=1.1).weight_hh
    assert u.min() >= 0.9
    assert 1.09 < u.max() <= 1.1


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.recurrent_min=0\.5"):
        IndRNN(4, 5, recurrent_min=0.5, recurrent_max=0.1)


def test_training_holds_the_recurrent_weights_to_their_bound() -> None:
    layer = Recurrence(partial(IndRNN, recurrent_bound=0.7), 4, 50)
    (cell,) = layer.cells
    assert isinstance(cell, IndRNN)
    layer.eval()(torch.randn(3, 2, 4))
    assert cell.weight_hh.abs().max() > 0.7
    layer.train()(torch.randn(3, 2, 4))
    assert float(cell.weight_hh.detach().abs().max()) == pytest.approx(0.7)


def test_without_a_bound_nothing_is_held() -> None:
    make = partial(IndRNN, recurrent_bound=None, recurrent_min=2.0, recurrent_max=3.0)
    layer = Recurrence(make, 4, 5)
    layer(torch.randn(3, 2, 4))
    (cell,) = layer.cells
    assert isinstance(cell, IndRNN)
    assert cell.weight_hh.min() >= 2
    with pytest.raises(ConfigError, match=r"cell\.recurrent_bound=0"):
        IndRNN(4, 5, recurrent_bound=0)

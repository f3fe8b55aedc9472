"""Inputs that are rows of a table give what their vectors do, to rounding, with all gradients."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.cells.base import State
from unrolled.cells.linear import LinearCell
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.config.locations import config_directory
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.lookup import Lookup, pays, projected, vectors
from unrolled.recurrence.stack import Recurrence, States

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
TOKENS, SIZE, TIME, BATCH = 5, 3, 9, 4
LENGTHS = torch.tensor([3, 9, 1, 9])
Fixture = Callable[..., Any]


def stack_of(make: Any, **options: Any) -> Recurrence:
    torch.manual_seed(1)
    stack = Recurrence(make, SIZE, 8, **options)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return stack


def lookup(dtype: torch.dtype = torch.float64) -> Lookup:
    torch.manual_seed(2)
    table = torch.randn(TOKENS, SIZE, dtype=dtype, requires_grad=True)
    return Lookup(table, torch.randint(TOKENS, (TIME, BATCH)))


def flat(y: Tensor, states: States) -> list[Tensor]:
    return [y, *(part for state in states for part in state)]


def both_ways(
    stack: Recurrence, x: Lookup, with_gradients: Fixture, lengths: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Results and gradients of the parameters and the table: of the lookup, and of its vectors."""
    leaves = [*stack.parameters(), x.table]
    torch.manual_seed(3)
    states = tuple(
        tuple(0.3 * torch.randn_like(part) for part in state)
        for state in stack.initial_states(BATCH, x.table.detach())
    )
    found = []
    for given in (x, vectors(x)):
        torch.manual_seed(4)
        found.append(with_gradients(flat(*stack(given, states, lengths)), leaves))
    return found[0], found[1]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *product(CELLS, ["auto", "eager"]),
        *product(["lstm", "gru", "rnn_tanh"], ["native", "analytic"]),
    ],
)
def test_every_cell_reads_what_is_looked_up(
    name: str,
    backend: str,
    lengths: Tensor | None,
    named: Fixture,
    with_gradients: Fixture,
    same: Fixture,
) -> None:
    stack = stack_of(named(name), backend=backend).double()
    same(*both_ways(stack, lookup(), with_gradients, lengths))


@pytest.mark.parametrize("name", CELLS)
def test_compiled_code_reads_it_in_single_precision(
    name: str, named: Fixture, with_gradients: Fixture
) -> None:
    found, expected = both_ways(stack_of(named(name)), lookup(torch.float32), with_gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True, "layers": 2},
        {"recompute": True},
        {"recompute": True, "bidirectional": True},
        {"layers": 3, "residual": True, "dropout": 0.5},
        {"regularization": RecurrentRegularization(recurrent_dropout=0.3, weight_dropout=0.3)},
        {"regularization": RecurrentRegularization(zoneout=0.3)},
    ],
    ids=str,
)
def test_every_option_of_the_recurrence_does(
    options: dict[str, Any], lengths: Tensor | None, with_gradients: Fixture, same: Fixture
) -> None:
    same(*both_ways(stack_of(LSTM, **options).double(), lookup(), with_gradients, lengths))


def test_a_table_is_projected_once_and_not_each_input() -> None:
    rows: list[int] = []

    class Counting(RnnTanh):
        def project(self, x: Tensor) -> Tensor:
            rows.append(len(x))
            return super().project(x)

    stack_of(Counting, backend="eager").double()(lookup())
    assert rows == [TOKENS]


class Noisy(RnnTanh):
    """Its projection drops numbers of its input."""

    def project(self, x: Tensor) -> Tensor:
        return super().project(F.dropout(x, 0.5))


def test_random_numbers_within_a_projection_are_each_inputs_own(
    with_gradients: Fixture, same: Fixture
) -> None:
    stack = stack_of(Noisy, backend="eager").double()
    found, expected = both_ways(stack, lookup(), with_gradients)
    same(found, expected)
    # As many were drawn, so that what comes after is the same, too.
    after = []
    for x in (lookup(), vectors(lookup())):
        torch.manual_seed(5)
        stack(x)
        after.append(torch.rand(()))
    assert after[0] == after[1]


def test_gradients_of_one_token_are_added_up_in_single_precision() -> None:
    # In bf16, 1 is lost beside 512.
    table = torch.zeros(1, SIZE, requires_grad=True)
    x = Lookup(table, torch.zeros(2048, dtype=torch.long))
    projected(lambda rows: rows.bfloat16(), x).sum().backward()
    assert table.grad is not None
    assert table.grad.eq(2048).all()


def test_a_gradient_of_a_gradient_goes_through_it() -> None:
    ids = torch.tensor([0, 2, 2, 1, 2])
    table = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)

    def function(table: Tensor) -> Tensor:
        return projected(torch.tanh, Lookup(table, ids))

    assert torch.autograd.gradgradcheck(function, table)


class Wide(LinearCell):
    """h_t = a h_{t-1} + x_t, which reads its projection again in its output."""

    def project(self, x: Tensor) -> Tensor:
        return x

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(z, 0.5), z

    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0] * z


def test_a_projection_that_is_its_input_is_looked_up_too(
    with_gradients: Fixture, same: Fixture
) -> None:
    torch.manual_seed(1)
    stack = Recurrence(Wide, SIZE, SIZE)
    same(*both_ways(stack, lookup(), with_gradients))


@pytest.mark.parametrize(("entries", "inputs", "expected"), [(10, 20, True), (10, 19, False)])
def test_it_pays_where_a_table_is_read_often(entries: int, inputs: int, expected: bool) -> None:
    ids = torch.zeros(inputs, 1, dtype=torch.long)
    assert pays(torch.zeros(entries, 2), ids) is expected
    assert not pays(torch.zeros(entries, 2, device="meta"), ids.to("meta"))


@pytest.mark.parametrize(("features", "expected"), [(95, False), (96, True)])
def test_in_half_precision_it_pays_for_wide_tables(features: int, expected: bool) -> None:
    table, ids = torch.zeros(2, features), torch.zeros(8, dtype=torch.long)
    assert pays(table, ids)
    with torch.autocast("cpu", torch.bfloat16):
        assert pays(table, ids) is expected


def test_a_program_that_is_traced_looks_nothing_up() -> None:
    table, ids = torch.ones(2, 2), torch.zeros(8, dtype=torch.long)

    def function(x: Tensor) -> Tensor:
        return x * pays(table, ids)

    assert torch.func.vmap(function)(torch.ones(3)).eq(0).all()


@pytest.mark.parametrize("backend", ["analytic", "eager"])
@pytest.mark.parametrize("wrong", [-1, TOKENS])
def test_an_id_that_is_not_of_the_table_is_refused(wrong: int, backend: str) -> None:
    x = lookup(torch.float32)
    x.ids[3, 1] = wrong
    with pytest.raises(IndexError, match=r"rows of the table|out of range"):
        stack_of(LSTM, backend=backend)(x)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "mgu", "min_gru"])
def test_products_in_half_precision_read_it(
    name: str, named: Fixture, with_gradients: Fixture
) -> None:
    stack, x = stack_of(named(name)), lookup(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = both_ways(stack, x, with_gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2)

"""What gates are, seen while the cells' own equations run."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, Gate, State
from unrolled.cells.lru import LRU
from unrolled.cells.lstm import LSTM
from unrolled.config.locations import config_directory
from unrolled.diagnostics.gates import cell_use, gate_values
from unrolled.diagnostics.trajectory import CellTrace, follow
from unrolled.errors import CellError
from unrolled.models.model import RecurrentModel

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
UNGATED = {"rnn_tanh", "rnn_relu", "irnn", "indrnn", "lru"}
Make = Callable[..., RecurrentModel]


class Own(Cell):
    """A cell of somebody's own that says nothing of its gates."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.W(x))

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        f = (z + self.U(h)).sigmoid()
        return (f * h + (1 - f) * torch.tanh(z),)


class Boastful(Own):
    gating = (Gate("f", "keeps"), Gate("i"))


class Named(Own):
    gating = (Gate("f", "keeps"),)


def trace_of(model: RecurrentModel) -> CellTrace:
    tokens = torch.randint(7, (30, 4), generator=torch.Generator().manual_seed(1))
    return follow(model, tokens)[1][-1]


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_names_the_gates_that_it_computes(name: str, make_model: Make) -> None:
    trace = trace_of(make_model(name))
    assert trace.cell.gating is not None
    use = cell_use(trace)
    assert use.named
    assert [*use.gates] == [gate.name for gate in trace.cell.gating]
    assert (name in UNGATED) == (not use.gates)
    for found in use.gates.values():
        assert ((found.opening >= 0) & (found.opening <= 1)).all()
        # As many units as the state, or as the input that a mogrifier gates.
        assert len(found.opening) in (6, 8)


@pytest.mark.parametrize(
    "name", [*(c for c in CELLS if c.startswith("lstm")), "ugrnn", "sru", "qrnn"]
)
def test_the_gate_that_keeps_is_the_one_that_a_forget_bias_opens(
    name: str, make_model: Make
) -> None:
    model = make_model(name)
    cell = model.recurrence.cells[0]
    assert isinstance(cell, Cell)
    cell.set_forget_bias(12.0)
    use = cell_use(trace_of(model))
    opened = [gate for gate, of in use.gates.items() if of.opening.min() > 0.99]
    assert opened == [gate.name for gate in cell.gating or () if gate.memory == "keeps"]
    assert use.time_constants is not None
    assert use.time_constants.min() > 100


@pytest.mark.parametrize(
    ("name", "gate", "open_gate"),
    [("gru", 1, True), ("gru_reset_before", 0, False), ("mgu", 0, False)],
)
def test_a_gate_that_keeps_or_replaces_the_state(
    name: str, gate: int, open_gate: bool, make_model: Make
) -> None:
    """Forced by its bias, the state must stay as it was."""
    model = make_model(name)
    cell = model.recurrence.cells[0]
    assert isinstance(cell, Cell)
    assert isinstance(cell.bias_ih, Tensor)
    cell.bias_ih[gate * 8 : gate * 8 + 8] = 40.0 if open_gate else -40.0
    named = (cell.gating or ())[{"gru": 1, "gru_reset_before": 0, "mgu": 0}[name]]
    assert named.memory == ("keeps" if open_gate else "replaces")
    state = (torch.randn(3, 8, dtype=torch.float64),)
    (kept,) = cell.step(cell.project(torch.randn(3, 6, dtype=torch.float64)), state)
    torch.testing.assert_close(kept, state[0])
    use = cell_use(trace_of(model))
    assert use.gates[named.name].opening == pytest.approx(1.0 if open_gate else 0.0)
    assert use.time_constants is not None
    assert use.time_constants.min() == 1e6


def test_the_values_are_those_of_the_equations(make_model: Make) -> None:
    cell = make_model("lstm").recurrence.cells[0]
    assert isinstance(cell, LSTM)
    x, h, c = (torch.randn(5, n, dtype=torch.float64) for n in (6, 8, 8))
    values = {gate.name: value for gate, value in gate_values(cell, x, (h, c))}
    assert cell.bias_hh is not None
    rows = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    for name in ("i", "f", "o"):
        torch.testing.assert_close(values[name], torch.sigmoid(rows[:, cell.gate(name)]))


def test_shares_of_steps_and_units_that_are_stuck(make_model: Make) -> None:
    model = make_model("lstm")
    cell = model.recurrence.cells[0]
    assert isinstance(cell, LSTM)
    forget = cell.gate("f")
    cell.bias_ih[forget.start : forget.start + 3] = 60.0
    cell.bias_ih[forget.start + 3 : forget.start + 5] = -60.0
    gate = cell_use(trace_of(model)).gates["f"]
    assert gate.opened[:3].tolist() == [1, 1, 1]
    assert gate.closed[3:5].tolist() == [1, 1]
    assert gate.stuck >= 5 / 8
    assert (gate.closed + gate.opened <= 1).all()


def test_linear_cells_have_their_time_constants_in_closed_form(make_model: Make) -> None:
    model = make_model("lru")
    cell = model.recurrence.cells[0]
    assert isinstance(cell, LRU)
    constants = cell_use(trace_of(model)).time_constants
    # |a| = exp(-exp(nu_log)).
    assert constants == pytest.approx(np.exp(-cell.nu_log.numpy()))


def test_a_constant_gate_has_the_time_constant_of_its_share(make_model: Make) -> None:
    model = make_model("lstm")
    cell = model.recurrence.cells[0]
    assert isinstance(cell, LSTM)
    forget = cell.gate("f")
    for weight in (cell.weight_ih, cell.weight_hh):
        weight[forget] = 0
    cell.set_forget_bias(math.log(9))
    use = cell_use(trace_of(model))
    assert use.gates["f"].opening == pytest.approx(0.9)
    assert use.time_constants == pytest.approx(10)


def test_units_that_do_not_vary_are_dead(make_model: Make) -> None:
    model = make_model("rnn_relu")
    cell = model.recurrence.cells[0]
    assert isinstance(cell, Cell)
    assert cell_use(trace_of(model)).dead < 0.5
    assert isinstance(cell.bias_ih, Tensor)
    cell.bias_ih[:4] = -100
    assert cell_use(trace_of(model)).dead == pytest.approx(0.5, abs=0.13)


def test_a_cell_of_ones_own(make_model: Make) -> None:
    use = cell_use(trace_of(make_model(Own)))
    assert not use.named
    assert [*use.gates] == ["sigmoid 1"]
    assert use.time_constants is None
    named = cell_use(trace_of(make_model(Named)))
    assert named.gates["f"].opening == pytest.approx(use.gates["sigmoid 1"].opening)
    assert named.time_constants == pytest.approx(1 / (1 - named.gates["f"].opening))
    with pytest.raises(CellError, match=r"Boastful\.gating names 2 gates, and a step computes 1"):
        cell_use(trace_of(make_model(Boastful)))


def test_padding_does_not_count(make_model: Make) -> None:
    model = make_model("gru")
    tokens = torch.randint(7, (9, 2), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([9, 4])
    trace = follow(model, tokens, lengths)[1][0]
    rows = torch.arange(9)[:, None] < lengths
    found = cell_use(trace, rows).gates["r"].opening
    long, short = (
        cell_use(follow(model, tokens[:n, i : i + 1])[1][0]).gates["r"].opening
        for i, n in enumerate([9, 4])
    )
    assert found == pytest.approx((9 * long + 4 * short) / 13)

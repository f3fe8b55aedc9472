"""Gradient flow through time: against finite differences, and where it is known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.data.batches import IGNORE, Batch
from unrolled.diagnostics.gradients import gradient_flow
from unrolled.models.model import RecurrentModel

Make = Callable[..., RecurrentModel]


class Decay(Cell):
    """h_t = 0.8 h_{t-1} + W x_t: a gradient that is known."""

    def project(self, x: Tensor) -> Tensor:
        return x[..., : self.hidden_size]

    def step(self, z: Tensor, state: State) -> State:
        return (0.8 * state[0] + z,)

    def reset_parameters(self) -> None:
        """It has none."""


def batch_of(time: int, sequences: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(7, (time + 1, sequences), generator=generator)
    size = time * sequences
    return Batch(tokens[:-1], tokens[1:], None, size, size)


def test_a_known_decay(make_model: Make) -> None:
    model = make_model(Decay, hidden=5)
    flow = gradient_flow(model, batch_of(40, 3))
    assert flow.whole[1:] / flow.whole[:-1] == pytest.approx(0.8)
    assert flow.slope == pytest.approx(np.log(0.8))
    # 0.8^20 = 0.0115, and 0.8^21 is less than a hundredth.
    assert flow.reach == 20


@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "min_lstm"])
def test_finite_differences(name: str, make_model: Make) -> None:
    """Against a loop of its own over two layers, in which a number of a state is moved."""
    model = make_model(name, layers=2, hidden=4)
    batch = batch_of(8, 2)

    def loss(moved: tuple[int, int, int, int] | None = None, by: float = 0.0) -> Tensor:
        """Of each sequence's last step, ``[batch]``."""
        x = model.encoder(batch.inputs)
        for layer, cell in enumerate(model.recurrence.cells):
            assert isinstance(cell, Cell)
            state, outputs = cell.initial_state(2, x), []
            for t, now in enumerate(x):
                z = cell.project(now)
                state = cell.step(z, state)
                if moved is not None and moved[:2] == (layer, t):
                    parts = [part.clone() for part in state]
                    parts[moved[2]][:, moved[3]] += by
                    state = tuple(parts)
                outputs.append(cell.output(z, state))
            x = torch.stack(outputs)
        logits = model.head.scores(x[-1])
        return torch.nn.functional.cross_entropy(logits, batch.targets[-1], reduction="none")

    # One loss alone: of the last step.
    targets = batch.targets.clone()
    targets[:-1] = IGNORE
    flow = gradient_flow(model, batch._replace(targets=targets))
    assert len(flow.whole) == 8
    whole = torch.zeros(2, dtype=torch.float64)
    for layer in range(2):
        cell = model.recurrence.cells[layer]
        assert isinstance(cell, Cell)
        squares = torch.zeros(2, dtype=torch.float64)
        for part, size in enumerate(cell.state_sizes):
            for unit in range(size):
                where = (layer, 8 - 1 - 3, part, unit)
                squares += ((loss(where, 1e-5) - loss(where, -1e-5)) / 2e-5).square()
        whole += squares
        found = flow.norms[f"layer {layer + 1}"][3]
        assert found == pytest.approx(float(squares.sqrt().mean()), rel=1e-5)
        assert found > 0
    assert flow.whole[3] == pytest.approx(float(whole.sqrt().mean()), rel=1e-5)


def test_only_steps_with_a_target_count(make_model: Make) -> None:
    model = make_model("gru")
    batch = batch_of(12, 4)
    targets = batch.targets.clone()
    targets[:, 2:] = IGNORE
    two = batch._replace(inputs=batch.inputs[:, :2], targets=batch.targets[:, :2])
    expected = gradient_flow(model, two)
    found = gradient_flow(model, batch._replace(targets=targets))
    assert found.whole == pytest.approx(expected.whole)


def test_sequences_of_unequal_length_are_followed_from_their_ends(make_model: Make) -> None:
    model = make_model("lstm", readout="last")
    inputs = batch_of(9, 3).inputs
    lengths, targets = torch.tensor([9, 7, 7]), torch.tensor([1, 2, 3])
    batch = Batch(inputs, targets, lengths, 3, 23)
    flow = gradient_flow(model, batch)
    alone = [
        gradient_flow(model, Batch(inputs[:n, i : i + 1], targets[i : i + 1], None, 1, n)).whole[
            :7
        ]
        for i, n in enumerate(lengths.tolist())
    ]
    assert flow.whole == pytest.approx(np.mean(alone, axis=0))


def test_a_backward_cell_s_lags_lie_behind_the_step(make_model: Make) -> None:
    model = make_model("rnn_tanh", readout="last", bidirectional=True)
    inputs = batch_of(10, 3).inputs
    targets = torch.tensor([1, 2, 3])
    flow = gradient_flow(model, Batch(inputs, targets, None, 3, 30))
    assert [*flow.norms] == ["layer 1", "layer 1 backward"]
    # Each direction is strongest where its own output is read.
    for norms in flow.norms.values():
        assert norms[0] == max(norms)
    every = make_model("rnn_tanh", bidirectional=True)
    flow = gradient_flow(every, batch_of(40, 3))
    for norms in flow.norms.values():
        assert norms[0] == max(norms)

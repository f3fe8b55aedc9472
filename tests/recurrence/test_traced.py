"""The engine as a graph computes what the engine does, for every cell, whatever time and batch."""

from functools import partial

import pytest
import torch

from unrolled.config.compose import compose_run
from unrolled.models.build import cell_of
from unrolled.recurrence import layer
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.fused_shapes import fused_shapes
from unrolled.recurrence.stack import Recurrence
from unrolled.recurrence.traced import Trace

# Each way that there is: fused kernels, steps, scans, complex numbers, windows, outputs of their
# own. benchmarks/exports.py does all cells.
CELLS = ["gru", "lstm", "lru", "mgu", "min_lstm", "qrnn", "slstm"]
INPUT, HIDDEN = 3, 8
SHAPES = [(7, 3), (2, 2), (1, 1), (1, 4)]


def recurrence(cell: str, layers: int = 1, **options: object) -> Recurrence:
    torch.manual_seed(1)
    kind, own = cell_of(compose_run([f"cell={cell}"]).cell)
    # Arguments of several kinds, which the constructor's own types say.
    made = Recurrence(partial(kind, **own), INPUT, HIDDEN, layers, **options)  # type: ignore[arg-type]
    for parameter in made.parameters():
        # Biases that start at zero would hide what reads them.
        torch.nn.init.normal_(parameter, std=0.4)
    return made.eval().requires_grad_(False)


class Traced(torch.nn.Module):
    def __init__(self, engine: Recurrence, trace: Trace) -> None:
        super().__init__()
        self.engine, self.trace = engine, trace

    def forward(self, x: torch.Tensor, states: list[list[torch.Tensor]]) -> object:
        return self.trace.layers(self.engine, x, tuple(map(tuple, states)))


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_s_graph_gives_the_engine_s_outputs_to_the_last_digit(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By PyTorch's operations; what is computed in C rounds otherwise.
    monkeypatch.setattr(layer, "has_interpolation", lambda *_: False)
    engine = recurrence(cell)
    trace = Trace(fused=engine.backend_on(torch.device("cpu"), 3, 1) == "native")
    x, start = torch.randn(4, 2, INPUT), engine.initial_states(2, torch.zeros(1))
    open_time, batch = torch.export.Dim("time", min=1), torch.export.Dim("batch", min=1)
    with fused_shapes(), torch.no_grad():
        program = torch.export.export(
            Traced(engine, trace),
            (x, [[*state] for state in start]),
            dynamic_shapes=({0: open_time, 1: batch}, [[{0: batch}] * len(s) for s in start]),
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()
    for time, sequences in SHAPES:
        x = torch.randn(time, sequences, INPUT)
        states = engine.initial_states(sequences, x)
        for _ in range(2):
            with torch.inference_mode():
                y, after = engine(x, states)
                found, traced = program(x, [[*state] for state in states])
            assert torch.equal(found, y)
            for ours, theirs in zip(after, traced, strict=True):
                assert all(map(torch.equal, ours, theirs))
            states = tuple(tuple(part.clone() for part in state) for state in after)


@pytest.mark.parametrize("cell", ["min_gru", "min_lstm"])
def test_what_runs_in_c_is_close_to_its_graph(cell: str) -> None:
    engine, x = recurrence(cell), torch.randn(40, 2, INPUT)
    start = engine.initial_states(2, x)
    y, _ = engine(x, start)
    found, _ = Trace(fused=False).layers(engine, x, start)
    torch.testing.assert_close(found, y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "lru", "slstm"])
def test_the_loop_and_real_numbers_in_place_of_complex_ones_agree(cell: str) -> None:
    engine = recurrence(
        cell, 2, bidirectional=True, regularization=RecurrentRegularization(zoneout=0.2)
    )
    x, lengths = torch.randn(6, 4, INPUT), torch.tensor([6, 2, 1, 5])
    states = engine.initial_states(4, x)
    with torch.no_grad():
        y, _ = engine(x, states, lengths)
        found, _ = Trace(real=True).layers(engine, x, states, lengths)
    torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-5)


def test_residual_connections_are_in_the_graph() -> None:
    engine = recurrence("mgu", 3, residual=True)
    x = torch.randn(6, 4, INPUT)
    states = engine.initial_states(4, x)
    with torch.no_grad():
        assert torch.equal(Trace().layers(engine, x, states)[0], engine(x, states)[0])


def test_the_kernels_shapes_are_told_while_tracing_and_no_longer() -> None:
    kernel = torch.ops.aten.lstm.input
    before = dict(kernel.py_kernels)
    with fused_shapes():
        assert kernel.py_kernels != before
    assert kernel.py_kernels == before

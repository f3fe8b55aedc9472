"""The shapes and types that PyTorch documents for recurrent layers, for every cell."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrolled
from unrolled.layers.named import BY_NAME

Fixture = Callable[..., Any]
L, N, H_IN, H_OUT = 7, 3, 5, 8
PARTS = {
    "qrnn": ("c", "inputs"),
    "lru": ("re", "im"),
    "slstm": ("h", "c", "n", "m"),
    "sru": ("c",),
    "rhn": ("s",),
    **dict.fromkeys([name for name in BY_NAME if name.startswith("lstm")], ("h", "c")),
}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("form", ["unbatched", "time first", "batch first", "packed"])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "mgu", "min_gru"])
def test_the_documented_shapes(name: str, form: str, num_layers: int, directions: int) -> None:
    layer = unrolled.layer(
        name,
        H_IN,
        H_OUT,
        num_layers,
        bidirectional=directions == 2,
        batch_first=form == "batch first",
    )
    shapes = {
        "unbatched": ((L, H_IN), (L, directions * H_OUT)),
        "time first": ((L, N, H_IN), (L, N, directions * H_OUT)),
        "batch first": ((N, L, H_IN), (N, L, directions * H_OUT)),
    }
    cells = num_layers * directions
    state_shape = (cells, H_OUT) if form == "unbatched" else (cells, N, H_OUT)
    if form == "packed":
        packed = pack_sequence([torch.randn(length, H_IN) for length in (7, 4, 4)])
        output, state = layer(packed)
        assert isinstance(output, PackedSequence)
        assert output.data.shape == (15, directions * H_OUT)
        assert torch.equal(output.batch_sizes, packed.batch_sizes)
        x: Any = packed
    else:
        before, after = shapes[form]
        x = torch.randn(before)
        output, state = layer(x)
        assert output.shape == after
    parts = state if isinstance(state, tuple) else (state,)
    assert [part.shape for part in parts] == [state_shape] * len(parts)
    assert isinstance(state, tuple) is (name == "lstm")
    # A state that comes out goes in again.
    layer(x, state)


@pytest.mark.parametrize("directions", [1, 2])
def test_the_documented_shapes_of_a_projection(directions: int) -> None:
    layer = unrolled.layers.LSTM(H_IN, H_OUT, 2, bidirectional=directions == 2, proj_size=4)
    output, (h, c) = layer(torch.randn(L, N, H_IN))
    assert output.shape == (L, N, directions * 4)
    assert h.shape == (2 * directions, N, 4)
    assert c.shape == (2 * directions, N, H_OUT)
    assert layer.weight_hr_l0.shape == (4, H_OUT)
    assert layer.weight_ih_l1.shape == (4 * H_OUT, directions * 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", BY_NAME)
def test_every_cell_in_every_type(name: str, dtype: torch.dtype, flat: Fixture) -> None:
    torch.manual_seed(1)
    layer = unrolled.layer(name, H_IN, H_OUT, 2, bidirectional=True, dtype=dtype)
    assert {parameter.dtype for parameter in layer.parameters()} == {dtype}
    x = torch.randn(L, N, H_IN, dtype=dtype, requires_grad=True)
    output, state = layer(x)
    assert output.dtype == dtype
    assert layer.state_names == PARTS.get(name, ("h",))
    parts = flat(state)
    assert len(parts) == len(layer.state_names)
    assert all(part.shape[:2] == (4, N) for part in parts)
    again, _ = layer(x, state)
    again.float().square().sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("name", BY_NAME)
def test_two_halves_are_the_whole(name: str, flat: Fixture) -> None:
    torch.manual_seed(1)
    layer = unrolled.layer(name, H_IN, H_OUT, 2, dtype=torch.float64)
    x = torch.randn(L, N, H_IN, dtype=torch.float64)
    whole, end = layer(x)
    first, state = layer(x[:4])
    second, final = layer(x[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-10)
    for one, other in zip(flat(final), flat(end), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    started, _ = layer(x, layer.initial_state(N))
    torch.testing.assert_close(started, whole, rtol=0, atol=1e-10)
    alone, _ = layer(x[:, 0], layer.initial_state())
    torch.testing.assert_close(alone, whole[:, 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_packed_sequence_is_each_sequence_alone(name: str, flat: Fixture) -> None:
    torch.manual_seed(1)
    layer = unrolled.layer(name, H_IN, H_OUT, 2, bidirectional=True, dtype=torch.float64)
    sequences = [torch.randn(length, H_IN, dtype=torch.float64) for length in (2, 6, 4)]
    output, state = layer(pack_sequence(sequences, enforce_sorted=False))
    outputs = torch.nn.utils.rnn.unpack_sequence(output)
    for row, sequence in enumerate(sequences):
        alone, final = layer(sequence)
        torch.testing.assert_close(outputs[row], alone, rtol=0, atol=1e-10)
        for one, other in zip(flat(state), flat(final), strict=True):
            torch.testing.assert_close(one[:, row], other, rtol=0, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    layer = unrolled.layer("mgu", 2, 2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(3, 1, 2, dtype=torch.float64, requires_grad=True)
    hx = torch.randn(2, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x, hx))

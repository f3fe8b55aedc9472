"""The compiled passes round as the written-out ones do, and lose nothing that those keep."""

from collections.abc import Iterator

import pytest
import torch

from compiled_passes import CELLS, Fixture, everything, inputs_of, layer_of
from unrolled.kernels.library import PAIRS, TILES, WIDENED, compiler, has_tiles, library
from unrolled.recurrence import analytic

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

LENGTHS = (None, [11, 7, 3, 3, 1], [11, 11, 11, 11, 4])


WAYS = (TILES, PAIRS, WIDENED)


@pytest.fixture(params=WAYS, ids=["tiles", "pairs", "widened"])
def way(request: pytest.FixtureRequest) -> Iterator[int]:
    """Products in each way that this processor has."""
    csrc = library()
    assert csrc is not None
    before = csrc.way_taken()
    if not csrc.take_way(request.param):
        pytest.skip("this processor does not multiply so")
    yield request.param
    csrc.take_way(before)


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "kernel_for", lambda cell: None)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", CELLS)
def test_as_far_from_the_truth_as_without_kernels(
    name: str,
    way: int,
    lengths: list[int] | None,
    named: Fixture,
    with_gradients: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = layer_of(named, name)
    truth = everything(layer, *inputs_of(layer), lengths, with_gradients, half=False)
    fused = everything(layer, *inputs_of(layer), lengths, with_gradients, half=True)
    without_kernels(monkeypatch)
    plain = everything(layer, *inputs_of(layer), lengths, with_gradients, half=True)
    assert any(not torch.equal(one, other) for one, other in zip(fused, plain, strict=True))
    for one, other, true in zip(fused, plain, truth, strict=True):
        assert one.dtype == other.dtype
        scale = float(true.detach().norm())
        allowed = 1.5 * float((other - true).detach().norm()) + 2**-9 * scale
        assert float((one - true).detach().norm()) <= allowed


@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 31, 32, 33, 48, 65])
def test_sizes_that_fill_no_tile_and_batches_that_fill_no_block(
    size: int, way: int, named: Fixture, with_gradients: Fixture
) -> None:
    for batch in (*range(1, 9), 13, 16, 17, 33, 64, 71):
        for name in ("lstm", "gru", "rnn_tanh"):
            layer = layer_of(named, name, size)
            truth = everything(layer, *inputs_of(layer, batch), None, with_gradients, half=False)
            found = everything(layer, *inputs_of(layer, batch), None, with_gradients, half=True)
            for one, true in zip(found, truth, strict=True):
                # A gradient of one number is a sum that may cancel.
                allowed = 2**-5 * float(true.detach().norm()) + 2**-4 * true.numel() ** 0.5
                assert float((one - true).detach().norm()) <= allowed


def test_ways_to_multiply_differ_by_rounding(
    way: int, named: Fixture, with_gradients: Fixture
) -> None:
    """In fp32, but for a state that is then rounded to the bf16 number next to the other's."""
    layer = layer_of(named, "gru", 48)
    found = everything(layer, *inputs_of(layer, 19), None, with_gradients, half=True)
    csrc = library()
    assert csrc is not None
    csrc.take_way(WIDENED)
    plain = everything(layer, *inputs_of(layer, 19), None, with_gradients, half=True)
    for one, other in zip(found, plain, strict=True):
        assert float((one - other).detach().norm()) <= 2**-8 * float(other.detach().norm())


def test_where_nothing_is_set_the_fastest_way_is_taken() -> None:
    csrc = library()
    assert csrc is not None
    fastest = csrc.way_taken()
    assert fastest == next(one for one in WAYS if csrc.take_way(one))
    assert has_tiles() == (fastest == TILES)

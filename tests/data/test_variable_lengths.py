from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from unrolled.data.batches import IGNORE
from unrolled.data.streams import Streams
from unrolled.data.variable_lengths import VariableLengths
from unrolled.runs.identity import identity

Configure = Callable[..., DictConfig]


def of(seed: int = 1, **options: int) -> VariableLengths:
    return VariableLengths(100_000, 70, seed=seed, **options)


def test_lengths_are_distributed_as_the_paper_draws_them() -> None:
    lengths = np.array(of().lengths[:-1])
    halves = lengths < 52.5
    assert halves.mean() == pytest.approx(0.05, abs=0.02)
    # int() rounds down, by half a step on average.
    assert lengths[~halves].mean() == pytest.approx(69.5, abs=0.5)
    assert lengths[~halves].std() == pytest.approx(5, abs=0.5)
    assert lengths[halves].mean() == pytest.approx(34.5, abs=2)
    assert min(VariableLengths(10_000, 8, seed=1).lengths[:-1]) == 5


def test_each_pass_cuts_all_of_time_once_elsewhere_and_in_as_many_steps() -> None:
    passes = [of().cuts(epoch) for epoch in range(3)]
    for cuts in passes:
        assert len(cuts) == len(of())
        assert (cuts[0].start, cuts[-1].stop) == (0, 100_000)
        assert all(a.stop == b.start for a, b in pairwise(cuts))
    assert len({tuple(cut.stop for cut in cuts) for cuts in passes}) == 3
    assert of(seed=2).lengths != of().lengths


def test_a_pass_goes_on_from_any_place() -> None:
    whole, later = of(), of(epoch=2, batch=5)
    passes = [list(whole) for _ in range(4)]
    assert list(later) == passes[2][5:]
    assert list(later) == passes[3]


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_token_is_predicted_once(ranks: int) -> None:
    ids = np.arange(1, 1004)
    seen: list[int] = []
    sizes = 0
    for rank in range(ranks):
        streams = Streams(ids, 0, 4, 20, rank=rank, world_size=ranks)
        for cut in VariableLengths(streams.steps, 20, seed=3).cuts(0):
            batch = streams[cut]
            assert batch.rate_factor == len(batch.inputs) / 20
            assert ((batch.targets == batch.inputs + 1) | (batch.targets == IGNORE)).all()
            seen += batch.targets[batch.targets != IGNORE].tolist()
            sizes += batch.size
    assert sorted(seen) == ids.tolist()
    assert sizes == ranks * len(ids)


def test_off_it_is_the_run_that_it_was_and_on_another(configure: Configure) -> None:
    off, on = configure(), configure("task.variable_length=true")
    without = off.copy()
    OmegaConf.set_struct(without, False)
    del without.task["variable_length"]
    assert identity(off, "data") == identity(without, "data") != identity(on, "data")

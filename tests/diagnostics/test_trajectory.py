"""Every cell, followed step by step, is what the engine computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unrolled.config.locations import config_directory
from unrolled.diagnostics.trajectory import follow, probe
from unrolled.models.model import RecurrentModel

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
LENGTHS = torch.tensor([5, 2, 9])
Make = Callable[..., RecurrentModel]


def same(model: RecurrentModel, **how: Any) -> None:
    tokens = torch.randint(7, (9, 3), generator=torch.Generator().manual_seed(1))
    expected, _ = model(tokens, None, how.get("lengths"), how.get("padded", "right"))
    found, _ = follow(model, tokens, **how)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_each_cell_in_two_layers(name: str, make_model: Make) -> None:
    same(make_model(name, layers=2))


@pytest.mark.parametrize("readout", ["every", "last", "mean", "max", "attention"])
@pytest.mark.parametrize("padded", ["right", "left"])
def test_unequal_lengths_in_both_directions(readout: str, padded: str, make_model: Make) -> None:
    model = make_model("lstm", layers=2, readout=readout, bidirectional=True)
    same(model, lengths=LENGTHS, padded=padded)


def test_residual_connections_zoneout_and_windows(make_model: Make) -> None:
    same(make_model("qrnn", layers=3, hidden=6, residual=True, zoneout=0.3))
    same(make_model("slstm", zoneout=0.3))


def test_the_model_itself_stays_as_it_is(make_model: Make) -> None:
    model = make_model("gru").float().train()
    copy = probe(model)
    assert next(copy.parameters()).dtype == torch.float64
    assert next(model.parameters()).dtype == torch.float32
    assert model.training
    assert not copy.training

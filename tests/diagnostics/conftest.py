"""Small models of any cell, in double precision and with no weight at zero."""

from collections.abc import Callable
from functools import partial

import pytest
import torch

from unrolled.cells.base import Cell
from unrolled.config.compose import compose_run
from unrolled.models.build import cell_of
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.models.model import RecurrentModel
from unrolled.models.pooling import Readout
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.stack import Recurrence

VOCABULARY = 7


@pytest.fixture
def make_model() -> Callable[..., RecurrentModel]:
    """A model over tokens, of a cell's class or of a name of ``conf/cell``."""

    def make(
        cell: str | type[Cell],
        *,
        hidden: int = 8,
        layers: int = 1,
        readout: Readout = "every",
        bidirectional: bool = False,
        residual: bool = False,
        zoneout: float = 0.0,
    ) -> RecurrentModel:
        torch.manual_seed(5)
        make_cell: Callable[[int, int], Cell] = cell  # type: ignore[assignment]
        if isinstance(cell, str):
            kind, options = cell_of(compose_run([f"cell={cell}"]).cell)
            make_cell = partial(kind, **options)
        recurrence = Recurrence(
            make_cell,
            6,
            hidden,
            layers,
            bidirectional=bidirectional,
            residual=residual,
            regularization=RecurrentRegularization(zoneout=zoneout),
        )
        head = LinearHead(recurrence.output_size, VOCABULARY)
        model = RecurrentModel(Embedding(VOCABULARY, 6), recurrence, head, readout=readout)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.double().eval().requires_grad_(False)

    return make

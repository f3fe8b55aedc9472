"""What tests of data sets share."""

from collections.abc import Callable

import pytest

from unrolled.config.build import build
from unrolled.config.compose import compose_run
from unrolled.data.labeled import LabeledSequences


@pytest.fixture
def load() -> Callable[..., LabeledSequences]:
    """A labelled data set as a configuration loads it, such as ``load("dataset=digits")``."""

    def loaded(*overrides: str) -> LabeledSequences:
        data = build(compose_run([*overrides]).dataset)
        assert isinstance(data, LabeledSequences)
        return data

    return loaded

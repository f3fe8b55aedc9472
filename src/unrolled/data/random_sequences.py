"""Random sequences with a class or a value each, of any size: to try a model on, and to see that
nothing is learned where there is nothing to learn."""

from typing import Literal

import numpy as np

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Split
from unrolled.errors import ConfigError


def load(
    name: str,
    examples: int,
    steps: int,
    features: int,
    targets: Literal["values", "classes"],
    learnable: bool,
    seed: int,
    split: Split,
) -> LabeledSequences:
    """Features from U(0, 1); targets that are random, too, or follow from the features.

    Args:
        targets: a value from U(0, 1), or one of the classes 0 and 1.
        learnable: whether the value is the mean of the sequence's features, and the class whether
            that is above the median of all means; otherwise the best answer is the mean of all
            values, or any class.

    Raises:
        ConfigError: a size below 1.
    """
    for key, value in {"examples": examples, "steps": steps, "features": features}.items():
        if value < 1:
            raise ConfigError(f"dataset.{key}={value}: must be at least 1")
    generator = np.random.default_rng(seed)
    inputs = generator.random((examples, steps, features), dtype=np.float32)
    if learnable:
        values = inputs.mean((1, 2), dtype=np.float64)
        classes = values > np.median(values)
    else:
        values = generator.random(examples)
        classes = values > 0.5
    return LabeledSequences(
        name,
        Sequences.of_equal(inputs),
        values[:, None] if targets == "values" else [str(int(label)) for label in classes],
        split=split,
        feature_names=[f"feature {place + 1}" for place in range(features)],
        target_names=["value"] if targets == "values" else [],
    )

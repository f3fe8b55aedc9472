"""Waves of three shapes, to be told apart."""

import numpy as np
import numpy.typing as npt

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences

SHAPES = ("sine", "square", "sawtooth")


def waveforms(
    name: str, examples: int = 600, length: int = 50, noise: float = 0.5, seed: int = 0
) -> LabeledSequences:
    """Waves of random frequency and phase with Gaussian noise, labelled with their shape.

    Args:
        examples: how many there are, of all shapes together.
        length: steps of each.
        noise: its standard deviation; a wave's amplitude is 1.
        seed: what they are drawn from.
    """
    generator = np.random.default_rng(seed)
    labels = [SHAPES[number % len(SHAPES)] for number in range(examples)]
    waves = [_wave(shape, length, noise, generator) for shape in labels]
    return LabeledSequences(name, Sequences.of(wave[:, None] for wave in waves), labels)


def _wave(
    shape: str, length: int, noise: float, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """One wave ``[length]`` of 2 to 5 periods."""
    periods, phase = generator.uniform(2, 5), generator.uniform(0, 1)
    turns = (np.arange(length) * periods / length + phase) % 1
    values = {
        "sine": np.sin(2 * np.pi * turns),
        "square": np.where(turns < 0.5, 1.0, -1.0),
        "sawtooth": 2 * turns - 1,
    }[shape]
    return (values + noise * generator.standard_normal(length)).astype(np.float32)

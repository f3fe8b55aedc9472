"""Selective copying: symbols stand anywhere among blanks, and are to be given again in order."""

from dataclasses import dataclass

import numpy as np

from unrolled.tasks.memory.copying import Copying
from unrolled.tasks.memory.symbols import Ints


@dataclass(kw_only=True, eq=False)
class SelectiveCopying(Copying):
    """The denoising task of Jing et al. 2019, known from Gu & Dao 2023 (Mamba, section 4.1.1).

    As ``Copying``, but the symbols are at random steps before the marker: what is to be kept can
    not be told from the time at which it comes.
    """

    def places(self, generator: np.random.Generator, length: int, examples: int) -> Ints:
        drawn = generator.random((examples, length + self.items - 1), dtype=np.float32)
        return np.sort(np.argsort(drawn, axis=1)[:, : self.items], axis=1)

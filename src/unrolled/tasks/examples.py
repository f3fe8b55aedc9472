"""Tasks of sequences with a target each, held in memory: their data, and their batches."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from unrolled.data.module import ExampleModule

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class ArrayData:
    """Examples in memory.

    Attributes:
        splits: for each split inputs ``[examples, time, features]`` and targets
            ``[examples, ...]``.
        fitted: what was fitted to the training split; a task that fits something must keep it in
            ``write`` and read it in ``restore``.
    """

    name: str
    splits: Mapping[str, Arrays]
    fitted: Any = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all inputs and targets, and of their shapes."""
        digest = hashlib.sha256()
        for split, arrays in self.splits.items():
            for array in arrays:
                digest.update(f"{split} {array.dtype} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The number of examples, and of steps in each."""
        return {
            "sizes": {
                split: {"examples": len(inputs), "length": inputs.shape[1]}
                for split, (inputs, _) in self.splits.items()
            }
        }

    def write(self, folder: Path) -> None:
        """Nothing, where nothing is fitted."""


class ExampleTask(Task):
    """A task whose data is ``ArrayData``; training examples are shuffled anew for each pass."""

    def batches(
        self, data: ArrayData, *, seed: int, overfit_batches: int | None = None
    ) -> "ExampleModule":
        from unrolled.data.module import ExampleModule

        return ExampleModule(
            data.splits,
            batch_size=self.batch_size,
            evaluation_batch_size=self.evaluation_batch_size,
            seed=seed,
            overfit_batches=overfit_batches,
        )

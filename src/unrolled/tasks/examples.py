"""Tasks of sequences with a target each, held in memory: their data, and their batches."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from unrolled.data.sequences import Sequences
from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from unrolled.data.module import ExampleModule

Examples = npt.NDArray[Any] | Sequences


@dataclass(frozen=True)
class ArrayData:
    """Examples in memory.

    Attributes:
        splits: for each split the inputs and the targets. Inputs are ids ``[examples, time]`` or
            features ``[examples, time, features]``, or ``Sequences`` of either where lengths
            differ; targets are one an example ``[examples, ...]`` or, as ``Sequences``, one a
            step.
        fitted: what was fitted to the training split; a task that fits something must keep it in
            ``write`` and read it in ``restore``.
        source: sha256 of what was split, where examples are shared out to folds, each of which has
            other splits; None: the splits are all there is.
    """

    name: str
    splits: Mapping[str, tuple[Examples, Examples]]
    fitted: Any = None
    source: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all inputs and targets, and of their shapes, or of what they were before they
        were split."""
        if self.source is not None:
            return self.source
        digest = hashlib.sha256()
        for split, pair in self.splits.items():
            for part in pair:
                if isinstance(part, Sequences):
                    digest.update(f"{split} sequences\n".encode())
                    part.hash_into(digest)
                    continue
                digest.update(f"{split} {part.dtype} {part.shape}\n".encode())
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The number of examples, and of steps in each: the mean where lengths differ."""
        sizes = {}
        for split, (inputs, _) in self.splits.items():
            if isinstance(inputs, Sequences):
                length = round(float(inputs.lengths.mean()), 2)
            else:
                length = inputs.shape[1]
            sizes[split] = {"examples": len(inputs), "length": length}
        return {"sizes": sizes}

    def write(self, folder: Path) -> None:
        """Nothing, where nothing is fitted."""


class InMemory(Protocol):
    """Data that has its examples in memory, as ``ArrayData`` has them."""

    @property
    def splits(self) -> Mapping[str, tuple[Examples, Examples]]: ...


class ExampleTask(Task):
    """A task of examples in memory; those of training are shuffled anew for each pass.

    Attributes:
        similar_lengths: whether a batch has examples of similar lengths.
        padding: the side on which shorter examples of a batch are padded.
    """

    similar_lengths: bool = False
    padding: Literal["right", "left"] = "right"

    def batches(
        self, data: InMemory, *, seed: int, overfit_batches: int | None = None
    ) -> "ExampleModule":
        from unrolled.data.module import ExampleModule

        return ExampleModule(
            data.splits,
            batch_size=self.batch_size,
            evaluation_batch_size=self.evaluation_batch_size,
            seed=seed,
            overfit_batches=overfit_batches,
            padding=self.padding,
            similar_lengths=self.similar_lengths,
        )

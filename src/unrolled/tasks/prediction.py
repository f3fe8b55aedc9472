"""What ``unrolled predict`` needs of a task whose models answer for new data."""

import json
import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from unrolled.data.files import decoded, read_bytes
from unrolled.data.sequences import Sequences
from unrolled.errors import DataError
from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class NewData:
    """Where new data is, as far as the command line says.

    Attributes:
        path: of a file; None: standard input.
        column: of a table, that of the texts, or of a series' times; None: as the run's own data
            had it.
        dataset: of the run's configuration, which names the columns of its own data.
    """

    path: Path | None
    column: str | None
    dataset: DictConfig

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if self.path is None else str(self.path)

    def content(self) -> bytes:
        """Its bytes.

        Raises:
            DataError: it cannot be read.
        """
        return sys.stdin.buffer.read() if self.path is None else read_bytes(self.path)

    def lines(self) -> list[str]:
        """Its lines.

        Raises:
            DataError: it cannot be read, is not UTF-8, or a line is empty.
        """
        text = decoded(self.content(), self.name, None)
        lines = text.removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                raise DataError(f"{self.name}, line {number}: empty")
        return lines

    def sequences(self, features: int) -> Sequences:
        """Sequences of numbers, ``[time, features]`` each: JSON lines, each a list of steps, such
        as ``[[0.1, 0.2], [0.3, 0.4]]``, or of numbers where a step has one.

        Raises:
            DataError: a line is no such list; the message names it.
        """
        sequences = []
        for number, line in enumerate(self.lines(), 1):
            try:
                steps = np.array(json.loads(line), dtype=np.float32)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{self.name}, line {number}: not a list of steps of numbers ({error})"
                ) from error
            if steps.ndim == 1 and features == 1:
                steps = steps[:, None]
            if steps.ndim != 2 or steps.shape[1] != features or not len(steps):
                raise DataError(
                    f"{self.name}, line {number}: its shape is {list(steps.shape)}, and the model "
                    f"reads [steps, {features}]"
                )
            if not np.isfinite(steps).all():
                raise DataError(f"{self.name}, line {number}: a number is not finite")
            sequences.append(steps)
        return Sequences.of(sequences)


class PredictingTask(Task):
    """A task whose trained models answer for new data."""

    @abstractmethod
    def read_new(self, fitted: Any, new: NewData) -> Any:
        """What ``predict`` takes, from new data; without torch.

        Raises:
            DataError: it is not what the model reads; the message says where.
        """

    @abstractmethod
    def predict(
        self, fitted: Any, model: "RecurrentModel", inputs: Any
    ) -> Iterator[Mapping[str, Any]]:
        """The answers in order, each a row: a column's name to its value."""

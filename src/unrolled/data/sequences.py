"""Sequences of unequal lengths in one array, and batches of them padded on either side."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# What targets hold where there is none; PyTorch's cross-entropy skips it.
IGNORE = -100


@dataclass(frozen=True)
class Sequences:
    """Sequences one behind the other.

    Attributes:
        steps: all steps of all sequences, ``[steps, ...]``.
        offsets: where each sequence begins in ``steps``, and at last its length:
            ``[sequences + 1]``.
    """

    steps: Array
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Iterable[Array]) -> "Sequences":
        """Sequences ``[time, ...]`` of any lengths; at least one."""
        kept = list(arrays)
        return cls(np.concatenate(kept), np.cumsum([0, *map(len, kept)], dtype=np.int64))

    @classmethod
    def of_equal(cls, array: Array) -> "Sequences":
        """Sequences of equal length, ``[sequences, time, ...]``."""
        count, time = array.shape[:2]
        return cls(
            array.reshape(count * time, *array.shape[2:]),
            np.arange(count + 1, dtype=np.int64) * time,
        )

    @classmethod
    def joined(cls, parts: Sequence["Sequences"]) -> "Sequences":
        """The sequences of several, one behind the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        steps = np.concatenate([part.steps for part in parts])
        return cls(steps, np.cumsum([0, *lengths], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> Array:
        """One sequence ``[time, ...]``."""
        start = self.begins[place]
        return self.steps[start : start + self.lengths[place]]

    def __iter__(self) -> Iterator[Array]:
        return (self[place] for place in range(len(self)))

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """Where each sequence begins in ``steps`` ``[sequences]``."""
        return self.offsets[:-1]

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Steps of each sequence ``[sequences]``."""
        return np.diff(self.offsets)

    def take(self, places: Sequence[int] | npt.NDArray[np.integer]) -> "Sequences":
        """Some of the sequences, in the order asked for."""
        rows, lengths = self._rows(places)
        return Sequences(self.steps[rows], np.cumsum([0, *lengths], dtype=np.int64))

    def clipped(self, longest: int | None, keep: str = "first") -> "Sequences":
        """Sequences of at most ``longest`` steps, of which the ``first`` or the ``last`` stay."""
        if longest is None or len(self) == 0 or int(self.lengths.max()) <= longest:
            return self
        lengths = np.minimum(self.lengths, longest)
        starts = self.begins if keep == "first" else self.begins + self.lengths - lengths
        offsets = np.cumsum([0, *lengths], dtype=np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Sequences(self.steps[rows], offsets)

    def padded(
        self,
        places: Sequence[int] | npt.NDArray[np.integer],
        *,
        value: float = 0,
        side: str = "right",
        time: int | None = None,
    ) -> Array:
        """Some sequences side by side, time first: ``[time, sequences, ...]``.

        Args:
            value: what stands where a sequence has no step.
            side: of the padding, ``right`` or ``left``.
            time: steps of the result; None: as many as the longest of these sequences has.
        """
        rows, lengths = self._rows(places)
        longest = int(lengths.max()) if time is None else time
        shape = (longest, len(lengths), *self.steps.shape[1:])
        result = np.full(shape, value, dtype=self.steps.dtype)
        columns = np.repeat(np.arange(len(lengths)), lengths)
        first = np.cumsum(lengths) - lengths
        times = np.arange(len(rows)) - np.repeat(first, lengths)
        if side == "left":
            times += np.repeat(longest - lengths, lengths)
        result[times, columns] = self.steps[rows]
        return result

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Add the content to a digest, so that no two contents run together."""
        for array in (self.steps, self.offsets):
            digest.update(f"{array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)

    def _rows(
        self, places: Sequence[int] | npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the steps of some sequences are in ``steps``, and how many each has."""
        chosen = np.asarray(places, dtype=np.int64)
        lengths = self.lengths[chosen]
        begins = np.cumsum(lengths) - lengths
        starts = self.begins[chosen]
        return np.arange(int(lengths.sum())) + np.repeat(starts - begins, lengths), lengths


@dataclass(frozen=True)
class Windows(Sequences):
    """Sequences that share their steps, such as every prefix of a line.

    Attributes:
        steps: what they are cut from, ``[steps, ...]``.
        offsets: where each would begin if they stood one behind the other.
        starts: where each begins in ``steps`` ``[sequences]``.
    """

    starts: npt.NDArray[np.int64]

    @classmethod
    def cut(
        cls, steps: Array, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> "Windows":
        """The sequences that begin at ``starts`` and have ``lengths`` steps, ``[sequences]``
        each."""
        return cls(steps, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), starts)

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        return self.starts

    def hash_into(self, digest: "hashlib._Hash") -> None:
        super().hash_into(digest)
        digest.update(np.ascontiguousarray(self.starts).data)

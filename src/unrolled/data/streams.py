"""Text as contiguous streams, for truncated backpropagation through time."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from unrolled.data.batches import IGNORE, Batch
from unrolled.errors import ConfigError, DataError

# Tokens counted at a time, each as a number of eight bytes meanwhile.
COUNTED = 1 << 24


class Streams(Dataset[Batch]):
    """N tokens cut into contiguous streams, read side by side in chunks of time.

    The first N mod ``batch_size`` streams have one token more than the others, so none is left
    out. The input to a stream's first step is the token before it in the text, and ``start`` for
    the very first: each token is predicted exactly once, whatever the batch size and the sequence
    length.

    A slice of time in place of an item's number gives a chunk of any length, whose rate factor is
    its share of ``sequence_length``.

    With ``warm_up``, every stream but the first begins that many tokens before those that it
    predicts, so that a network comes to them with a state of its own; the first stream predicts
    them, and all streams are as long.

    Args:
        ids: the tokens of a split ``[N]``.
        start: the id that precedes the text.
        batch_size: how many streams, over all ranks.
        sequence_length: steps in an item; the last one may be shorter.
        warm_up: tokens that each stream but the first reads before the first that it predicts;
            fewer in a text that is too short.
        rank, world_size: this process reads the ``rank``-th share of the streams.
        split: for messages.

    Raises:
        DataError: fewer tokens than streams.
        ConfigError: the streams cannot be shared out evenly.
    """

    def __init__(
        self,
        ids: npt.NDArray[np.integer],
        start: int,
        batch_size: int,
        sequence_length: int,
        *,
        warm_up: int = 0,
        rank: int = 0,
        world_size: int = 1,
        split: str = "train",
    ) -> None:
        key = "task.batch_size" if split == "train" else "task.evaluation_batch_size"
        if len(ids) < batch_size:
            raise DataError(
                f"the {split} split has {len(ids):,} tokens, shorter than one batch of "
                f"{batch_size:,} streams; give more text, or lower {key}"
            )
        if batch_size % world_size:
            raise ConfigError(
                f"{key}={batch_size}: cannot be shared out evenly among {world_size} devices"
            )
        self._ids, self._start = ids, start
        self.sequence_length = sequence_length
        warm_up = min(warm_up, len(ids) - batch_size)
        length, longer = divmod(len(ids) - warm_up, batch_size)
        streams = np.arange(batch_size)
        self._all_lengths = warm_up + length + (streams < longer)
        # The step at which each stream's targets begin.
        self._all_starts = np.where(streams == 0, 0, warm_up)
        self._shortest = int(self._all_lengths.min())
        self._latest_start = int(self._all_starts.max())
        share = batch_size // world_size
        mine = slice(rank * share, (rank + 1) * share)
        self._lengths, self._starts = self._all_lengths[mine], self._all_starts[mine]
        self._offsets = (streams * length + np.minimum(streams, longer))[mine]
        self.steps = warm_up + length + (longer > 0)

    @cached_property
    def ids(self) -> npt.NDArray[np.integer]:
        """The tokens in memory, the start before them ``[1 + N]``."""
        return np.concatenate([np.array([self._start], dtype=self._ids.dtype), self._ids])

    def counts(self) -> npt.NDArray[np.int64]:
        """How often each token occurs, up to the greatest, in bounded memory."""
        counts = np.zeros(0, dtype=np.int64)
        for first in range(0, len(self._ids), COUNTED):
            some = np.bincount(self._ids[first : first + COUNTED], minlength=len(counts))
            some[: len(counts)] += counts
            counts = some
        return counts

    def __len__(self) -> int:
        return -(-self.steps // self.sequence_length)

    def __getitem__(self, index: "int | slice[int, int, None]") -> Batch:
        if isinstance(index, slice):
            first, last = index.start, index.stop
            return self._chunk(first, last)._replace(
                rate_factor=(last - first) / self.sequence_length
            )
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = index * self.sequence_length
        return self._chunk(first, min(first + self.sequence_length, self.steps))

    def _chunk(self, first: int, last: int) -> Batch:
        if 0 < first >= self._latest_start and last <= self._shortest:
            # Every stream goes on, so what it reads is its targets a step before them.
            time = np.arange(first - 1, last)[:, None]
            read = torch.from_numpy(self._ids[self._offsets + time].astype(np.int64))
            tokens = len(self._all_lengths) * (last - first)
            return Batch(read[:-1], read[1:], None, tokens, tokens)
        time = np.arange(first, last)[:, None]
        # A stream that has ended reads on to stay rectangular; its target there is IGNORE.
        places = np.minimum(self._offsets + time, len(self._ids) - 1)
        before = self._ids[np.maximum(places - 1, 0)].astype(np.int64)
        inputs = torch.from_numpy(np.where(places, before, self._start))
        targets = torch.from_numpy(self._ids[places].astype(np.int64))
        if last > self._lengths.min() or first < self._starts.max():
            out = (time >= self._lengths) | (time < self._starts)
            targets[torch.from_numpy(out)] = IGNORE
        ends = np.minimum(self._all_lengths, last)
        tokens = int(np.maximum(0, ends - np.maximum(self._all_starts, first)).sum())
        return Batch(inputs, targets, None, tokens, tokens)

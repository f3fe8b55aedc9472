"""What of a split is looked at: a batch of moderate size, the same for every run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data.batches import IGNORE, Batch
from unrolled.data.module import DataModule
from unrolled.data.streams import Streams
from unrolled.errors import DataError

# Steps of a window of running text: what comes before the first loss, and the lags of gradients.
WINDOW = 240
# Of every draw of places, so that two runs on the same data are looked at in the same places.
SEED = 0


@dataclass(frozen=True)
class TokenStream:
    """A split as running text.

    Attributes:
        ids: its tokens, the start before them, ``[1 + tokens]``.
        counts: how often each token occurs in the training split, ``[vocabulary]`` or fewer.
    """

    ids: npt.NDArray[np.integer]
    counts: npt.NDArray[np.integer]


def token_stream(batches: DataModule, split: str) -> TokenStream | None:
    """The split as running text; None where it is none.

    Raises:
        DataError: there is no such split.
    """
    data, training = _dataset(batches, split), _dataset(batches, "train")
    if not isinstance(data, Streams) or not isinstance(training, Streams):
        return None
    return TokenStream(data.ids, training.counts())


def sample(batches: DataModule, split: str, tokens: int) -> Batch:
    """About ``tokens`` steps of a split: windows of running text from random places, or the
    sequences of a batch from its middle, as many as that is.

    Raises:
        DataError: the split has no batch.
    """
    data = _dataset(batches, split)
    if isinstance(data, Streams):
        time = min(WINDOW, len(data.ids) - 1)
        places = windows(data.ids, time, max(1, tokens // time))
        inputs, targets = _ids(data.ids, places), _ids(data.ids, places + 1)
        return Batch(inputs, targets, None, targets.numel(), targets.numel())
    loader = batches.evaluation_dataloader(split)
    if loader.batch_size is None and loader.sampler is not None:
        order = [*loader.sampler]
        batch = data[order[len(order) // 2]] if order else None
    else:
        batch = next(iter(loader), None)
    if not isinstance(batch, Batch):
        raise DataError(f"the {split} split has no batch to look at")
    return _first(batch, max(1, tokens // len(batch.inputs)))


def windows(ids: npt.NDArray[np.integer], time: int, count: int) -> npt.NDArray[np.int64]:
    """Places ``[time, count]`` of windows of running text, each followed by one more token."""
    generator = np.random.default_rng(SEED)
    last = len(ids) - time
    starts = generator.choice(last, size=min(count, last), replace=False)
    return np.arange(time)[:, None] + np.sort(starts)[None]


def with_target(targets: Tensor) -> Tensor:
    """Which targets ``[..., batch, ...]`` are there, as ``[time, batch]`` or ``[batch]``.

    Args:
        targets: one a step ``[time, batch, ...]``.
    """
    there = targets != IGNORE
    return there.flatten(2).any(-1) if there.dim() > 2 else there


def _dataset(batches: DataModule, split: str) -> Any:
    try:
        return batches.evaluation_dataloader(split).dataset
    except KeyError as error:
        raise DataError(f"--split {split}: the data has no such split") from error


def _ids(ids: npt.NDArray[np.integer], places: npt.NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(ids[places].astype(np.int64))


def _first(batch: Batch, count: int) -> Batch:
    """The first sequences of a batch."""
    inputs = batch.inputs[:, :count]
    # Targets one a step have time first, as the inputs do.
    by_step = batch.targets.dim() > 1 and batch.targets.shape[:2] == batch.inputs.shape[:2]
    targets = batch.targets[:, :count] if by_step else batch.targets[:count]
    lengths = None if batch.lengths is None else batch.lengths[:count]
    return batch._replace(inputs=inputs, targets=targets, lengths=lengths)

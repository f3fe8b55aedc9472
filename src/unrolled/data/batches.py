"""What a step of training reads: a batch, and examples in an order that can be resumed."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from unrolled.data.sequences import IGNORE as IGNORE
from unrolled.data.sequences import Sequences
from unrolled.errors import ConfigError, DataError

# How many batches' worth of a shuffled pass are put in order of length at a time.
BUCKET = 100


class Batch(NamedTuple):
    """Sequences side by side, time first.

    Attributes:
        inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
        targets: one a step ``[time, batch, ...]``, or one a sequence ``[batch, ...]``.
        lengths: steps of each sequence ``[batch]``; None where all have all.
        size: how many targets the batch has, over all ranks: the loss is a mean over them.
        tokens: how many steps its sequences have together, over all ranks.
        padded: the side on which inputs that are shorter are padded; targets that are one a step
            are padded on the right.
        rate_factor: what the learning rate of this batch's step is multiplied by.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None
    size: int
    tokens: int
    padded: Literal["right", "left"] = "right"
    rate_factor: float = 1.0


class Examples(Dataset[Batch]):
    """Sequences with targets; asked for by lists of places.

    Args:
        inputs: ``[examples, time, ...]``, or sequences of unequal lengths.
        targets: one a sequence ``[examples, ...]``, or, as ``Sequences``, one a step, ``IGNORE``
            where a step has none.
        padding: the side on which shorter inputs are padded.
        rank, world_size: this process reads the ``rank``-th share of each batch.

    Raises:
        DataError: the targets are not as many as the examples, or as their steps.
    """

    def __init__(
        self,
        inputs: npt.NDArray[Any] | Sequences,
        targets: npt.NDArray[Any] | Sequences,
        *,
        padding: Literal["right", "left"] = "right",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(inputs) != len(targets):
            raise DataError(f"{len(inputs):,} examples have {len(targets):,} targets")
        self.inputs = inputs if isinstance(inputs, Sequences) else Sequences.of_equal(inputs)
        self.targets = targets
        self.padding: Literal["right", "left"] = padding
        self.rank, self.world_size = rank, world_size
        # Targets of each example, where that is not one.
        self.counts: npt.NDArray[np.int64] | None = None
        if isinstance(targets, Sequences):
            if (targets.offsets != self.inputs.offsets).any():
                raise DataError("targets that are one a step: there are not as many as steps")
            self.counts = _targets_of(targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, places: Sequence[int]) -> Batch:
        everyone = np.asarray(places)
        mine = everyone[self.rank :: self.world_size]
        lengths = self.inputs.lengths[everyone]
        size = len(places) if self.counts is None else int(self.counts[everyone].sum())
        inputs = _tensor(self.inputs.padded(mine, side=self.padding))
        if isinstance(self.targets, Sequences):
            targets = _tensor(self.targets.padded(mine, value=IGNORE))
        else:
            targets = _tensor(self.targets[mine])
        own = lengths[self.rank :: self.world_size]
        equal = bool((own == own[0]).all())
        return Batch(
            inputs,
            targets,
            None if equal else torch.from_numpy(own),
            size,
            int(lengths.sum()),
            self.padding,
        )


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """Ids and classes may be kept in fewer bytes than PyTorch reads them in."""
    tensor = torch.from_numpy(array)
    return tensor if tensor.is_floating_point() else tensor.long()


def _targets_of(targets: Sequences) -> npt.NDArray[np.int64]:
    """How many steps of each sequence have a target."""
    there = targets.steps != IGNORE
    if there.ndim > 1:
        there = there.reshape(len(there), -1).any(axis=1)
    running = np.concatenate([[0], np.cumsum(there, dtype=np.int64)])
    counts: npt.NDArray[np.int64] = running[targets.offsets[1:]] - running[targets.offsets[:-1]]
    return counts


class ExampleBatches(Sampler[list[int]]):
    """Places of examples, batch by batch; each pass is shuffled by the seed and its number.

    The order of any pass follows from these two alone, so that a run can go on from any batch of
    any pass exactly.

    Args:
        examples: how many there are.
        batch_size: the last batch of a pass may be smaller.
        seed: of the order; None: in order, each pass.
        epoch, batch: where the first pass begins.
        world_size: a batch is shared out evenly among so many ranks; a remainder that cannot be is
            left out of the pass.
        lengths: of the examples, so that those of a batch are of similar length: within each
            ``BUCKET`` batches of a shuffled pass, examples are put in order of length and cut
            into batches, whose order is shuffled again; in order, all of them.

    Raises:
        ConfigError: the batch cannot be shared out evenly.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        batch: int = 0,
        world_size: int = 1,
        lengths: npt.NDArray[np.integer] | None = None,
    ) -> None:
        if batch_size % world_size:
            raise ConfigError(
                f"task.batch_size={batch_size}: cannot be shared out evenly among {world_size} "
                "devices"
            )
        self.examples = examples - examples % world_size
        self.batch_size = batch_size
        self.seed = seed
        self.epoch, self.batch = epoch, batch
        self.lengths = lengths

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        first, epoch = self.batch, self.epoch
        self.batch, self.epoch = 0, epoch + 1
        yield from self.batches(epoch)[first:]

    def order(self) -> npt.NDArray[np.int64]:
        """The places of all examples, one batch after the other, where they are not shuffled."""
        return np.concatenate(self.batches(0))

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of a pass."""
        order = np.arange(self.examples)
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, epoch])
            order = generator.permutation(self.examples)
        if self.lengths is None:
            return self._cut(order)
        if self.seed is None:
            return self._cut(order[np.argsort(self.lengths[order], kind="stable")])
        batches: list[list[int]] = []
        for start in range(0, self.examples, BUCKET * self.batch_size):
            part = order[start : start + BUCKET * self.batch_size]
            # Stable, so that examples of the same length stay in their shuffled order.
            batches += self._cut(part[np.argsort(self.lengths[part], kind="stable")])
        return [batches[place] for place in generator.permutation(len(batches))]

    def _cut(self, order: npt.NDArray[np.int64]) -> list[list[int]]:
        starts = range(0, len(order), self.batch_size)
        return [order[start : start + self.batch_size].tolist() for start in starts]

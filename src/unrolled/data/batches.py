"""What a step of training reads: a batch, and examples in an order that can be resumed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from unrolled.errors import ConfigError, DataError

# What targets hold where there is none; PyTorch's cross-entropy skips it.
IGNORE = -100


class Batch(NamedTuple):
    """Sequences side by side, time first.

    Attributes:
        inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
        targets: one a step ``[time, batch]``, or one a sequence ``[batch, ...]``.
        lengths: steps of each sequence ``[batch]``; None where all have all.
        size: how many targets the batch has, over all ranks: the loss is a mean over them.
        tokens: how many steps its sequences have together, over all ranks.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None
    size: int
    tokens: int


class Examples(Dataset[Batch]):
    """Sequences of equal length with one target each; asked for by lists of places.

    Args:
        inputs: ``[examples, time, features]``.
        targets: ``[examples, ...]``.
        rank, world_size: this process reads the ``rank``-th share of each batch.

    Raises:
        DataError: not one target an example.
    """

    def __init__(
        self,
        inputs: npt.NDArray[np.floating],
        targets: npt.NDArray[np.generic],
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(inputs) != len(targets):
            raise DataError(f"{len(inputs):,} examples have {len(targets):,} targets")
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, places: Sequence[int]) -> Batch:
        mine = torch.as_tensor(places[self.rank :: self.world_size])
        inputs = self.inputs[mine].transpose(0, 1).contiguous()
        tokens = len(places) * self.inputs.shape[1]
        return Batch(inputs, self.targets[mine], None, len(places), tokens)


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

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        first, epoch = self.batch, self.epoch
        self.batch, self.epoch = 0, epoch + 1
        order = np.arange(self.examples)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.examples)
        for start in range(first * self.batch_size, self.examples, self.batch_size):
            yield order[start : start + self.batch_size].tolist()

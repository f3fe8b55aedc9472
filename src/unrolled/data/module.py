"""Lightning's view of data: what each split's batches are, and where training goes on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from unrolled.data.batches import Batch, ExampleBatches, Examples
from unrolled.data.sequences import Sequences
from unrolled.data.streams import Streams
from unrolled.data.tokens import TokenizedCorpus
from unrolled.data.variable_lengths import VariableLengths

Inputs = npt.NDArray[Any] | Sequences


class Loader(DataLoader[Batch]):
    """What the data set gives for one place, or for whatever else ``order`` names.

    That is a batch already, and slices of an array in memory: nothing for a worker to do, nor for
    DataLoader's own iterator, which looks through each batch and reports it to a profiler.
    """

    def __init__(self, batches: Dataset[Batch], order: Any = None) -> None:
        super().__init__(batches, batch_size=None, sampler=order)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # DataLoader draws a seed for its workers, and what a network draws comes after it.
        torch.empty((), dtype=torch.int64).random_()
        return map(self.dataset.__getitem__, self.sampler)


class DataModule(pl.LightningDataModule, ABC):
    """The splits of a data set as batches.

    Training batches are shared out among the ranks. Each rank evaluates the whole of the other
    splits: it costs time, and the figures are exactly those of one process.

    Args:
        overfit_batches: debugging: train and validate on the same first so many training batches.

    Attributes:
        first_epoch, first_batch: where the first pass over the training split begins; the passes
            after it begin at their first batch.
    """

    def __init__(self, *, overfit_batches: int | None = None) -> None:
        super().__init__()
        self.overfit_batches = overfit_batches
        self.first_epoch = 0
        self.first_batch = 0

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training split."""

    @abstractmethod
    def training(self, rank: int, world_size: int) -> Loader:
        """A rank's share of the training batches, from ``first_epoch`` and ``first_batch`` on."""

    @abstractmethod
    def evaluation_dataloader(self, split: str) -> Loader:
        """Any split, as it is evaluated."""

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """A batch on the device; Lightning would look through it even where it is there."""
        if device.type == "cpu":
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def train_dataloader(self) -> Loader:
        """The training batches of this rank."""
        trainer = self.trainer
        share = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        return self.training(*share)

    def val_dataloader(self) -> Loader:
        """The validation split, or the training batches that a run is to overfit."""
        if self.overfit_batches is not None:
            return self.overfitted()
        return self.evaluation_dataloader("validation")

    def test_dataloader(self) -> Loader:
        """The test split."""
        return self.evaluation_dataloader("test")

    @abstractmethod
    def overfitted(self) -> Loader:
        """The training batches that a debugging run trains and validates on."""


class StreamModule(DataModule):
    """Running text as contiguous streams, whose state is carried from batch to batch.

    Args:
        variable_length_seed: of lengths that are drawn around ``sequence_length``; None: every
            training batch is as long. A debugging run's few batches always are.
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        *,
        batch_size: int,
        sequence_length: int,
        evaluation_batch_size: int,
        evaluation_sequence_length: int,
        evaluation_warm_up: int = 0,
        variable_length_seed: int | None = None,
        overfit_batches: int | None = None,
    ) -> None:
        super().__init__(overfit_batches=overfit_batches)
        self.variable_length_seed = variable_length_seed if overfit_batches is None else None
        self.corpus = corpus
        self.batch_size = batch_size
        self.sequence_length = sequence_length
        self.evaluation_batch_size = evaluation_batch_size
        self.evaluation_sequence_length = evaluation_sequence_length
        self.evaluation_warm_up = evaluation_warm_up

    @property
    def steps_per_epoch(self) -> int:
        batches = self._batches()
        lengths = self._lengths(batches)
        return len(batches) if lengths is None else len(lengths)

    def training(self, rank: int, world_size: int) -> Loader:
        batches = self._batches(rank, world_size)
        lengths: Any = self._lengths(batches)
        if lengths is not None:
            # It names slices of time.
            return Loader(batches, lengths)
        return Loader(batches, _From(self.first_batch, len(batches)))

    def overfitted(self) -> Loader:
        return Loader(self._batches())

    def evaluation_dataloader(self, split: str) -> Loader:
        streams = Streams(
            self.corpus.ids[split],
            self.corpus.tokenizer.start_id,
            self.evaluation_batch_size,
            self.evaluation_sequence_length,
            warm_up=self.evaluation_warm_up,
            split=split if split != "train" else "evaluated",
        )
        return Loader(streams)

    def _lengths(self, batches: "Streams | Subset[Batch]") -> VariableLengths | None:
        """The lengths of the training batches, where they vary."""
        if self.variable_length_seed is None:
            return None
        assert isinstance(batches, Streams)
        return VariableLengths(
            batches.steps,
            self.sequence_length,
            seed=self.variable_length_seed,
            epoch=self.first_epoch,
            batch=self.first_batch,
        )

    def _batches(self, rank: int = 0, world_size: int = 1) -> "Streams | Subset[Batch]":
        streams = Streams(
            self.corpus.ids["train"],
            self.corpus.tokenizer.start_id,
            self.batch_size,
            self.sequence_length,
            rank=rank,
            world_size=world_size,
        )
        if self.overfit_batches is None:
            return streams
        return Subset(streams, range(min(self.overfit_batches, len(streams))))


class ExampleModule(DataModule):
    """Sequences with targets, shuffled anew for each pass over the training split.

    Args:
        splits: for each split what ``Examples`` takes: the inputs and the targets.
        seed: of the order of the training examples.
        padding: the side on which shorter inputs are padded.
        similar_lengths: whether the examples of a batch are of similar length, so that little is
            padded; evaluation is in order of length then.
    """

    def __init__(
        self,
        splits: Mapping[str, tuple[Inputs, Inputs]],
        *,
        batch_size: int,
        evaluation_batch_size: int,
        seed: int,
        overfit_batches: int | None = None,
        padding: Literal["right", "left"] = "right",
        similar_lengths: bool = False,
    ) -> None:
        super().__init__(overfit_batches=overfit_batches)
        self.splits = splits
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self.padding: Literal["right", "left"] = padding
        self.similar_lengths = similar_lengths

    @property
    def steps_per_epoch(self) -> int:
        return len(ExampleBatches(self._training_examples(), self.batch_size))

    def training(self, rank: int, world_size: int) -> Loader:
        batches = ExampleBatches(
            self._training_examples(),
            self.batch_size,
            seed=self.seed,
            epoch=self.first_epoch,
            batch=self.first_batch,
            world_size=world_size,
            lengths=self._lengths("train"),
        )
        return Loader(self._examples("train", rank, world_size), batches)

    def overfitted(self) -> Loader:
        examples = self._training_examples()
        return Loader(self._examples("train"), ExampleBatches(examples, self.batch_size))

    def evaluation_dataloader(self, split: str) -> Loader:
        return Loader(self._examples(split), self._in_order(split))

    def order(self, split: str) -> npt.NDArray[np.int64]:
        """Which example each one is that ``evaluation_dataloader`` gives, one after the other."""
        return self._in_order(split).order()

    def _examples(self, split: str, rank: int = 0, world_size: int = 1) -> Examples:
        inputs, targets = self.splits[split]
        return Examples(inputs, targets, padding=self.padding, rank=rank, world_size=world_size)

    def _training_examples(self) -> int:
        """How many of the training examples are used."""
        there = len(self.splits["train"][0])
        if self.overfit_batches is None:
            return there
        return min(there, self.overfit_batches * self.batch_size)

    def _in_order(self, split: str) -> ExampleBatches:
        examples = len(self.splits[split][0])
        return ExampleBatches(examples, self.evaluation_batch_size, lengths=self._lengths(split))

    def _lengths(self, split: str) -> npt.NDArray[np.int64] | None:
        inputs = self.splits[split][0]
        if self.similar_lengths and isinstance(inputs, Sequences):
            return inputs.lengths
        return None


class _From(Sampler[int]):
    """Places in order: once from ``first`` on, then each time from the start."""

    def __init__(self, first: int, length: int) -> None:
        self.first = first
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first, self.first = self.first, 0
        return iter(range(first, self.length))

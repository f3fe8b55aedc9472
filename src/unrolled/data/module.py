"""Lightning's view of tokenized text."""

from collections.abc import Iterator

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from unrolled.data.streams import Streams, TokenBatch
from unrolled.data.tokens import TokenizedCorpus


class TextDataModule(pl.LightningDataModule):
    """The splits of a corpus as streams.

    Training streams are shared out among the ranks. Each rank evaluates the whole of the other
    splits: it costs time, and the figures are exactly those of one process.

    Args:
        overfit_batches: debugging: train and validate on the first so many training batches.

    Attributes:
        first_batch: where the first pass over the training split begins; the others begin at 0.
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        *,
        batch_size: int,
        sequence_length: int,
        evaluation_batch_size: int,
        evaluation_sequence_length: int,
        overfit_batches: int | None = None,
    ) -> None:
        super().__init__()
        self.corpus = corpus
        self.batch_size = batch_size
        self.sequence_length = sequence_length
        self.evaluation_batch_size = evaluation_batch_size
        self.evaluation_sequence_length = evaluation_sequence_length
        self.overfit_batches = overfit_batches
        self.first_batch = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training split."""
        return len(self._training_batches())

    def train_dataloader(self) -> DataLoader[TokenBatch]:
        trainer = self.trainer
        share = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        batches = self._training_batches(*share)
        return DataLoader(batches, batch_size=None, sampler=_From(self.first_batch, len(batches)))

    def val_dataloader(self) -> DataLoader[TokenBatch]:
        if self.overfit_batches is not None:
            return self._loader(self._training_batches())
        return self.evaluation_dataloader("validation")

    def test_dataloader(self) -> DataLoader[TokenBatch]:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str) -> DataLoader[TokenBatch]:
        """Any split, as it is evaluated."""
        return self._loader(
            Streams(
                self.corpus.ids[split],
                self.corpus.tokenizer.start_id,
                self.evaluation_batch_size,
                self.evaluation_sequence_length,
                split=split if split != "train" else "evaluated",
            )
        )

    def _training_batches(
        self, rank: int = 0, world_size: int = 1
    ) -> "Streams | Subset[TokenBatch]":
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

    def _loader(self, batches: Dataset[TokenBatch]) -> DataLoader[TokenBatch]:
        # Items are batches already, and slices of an array in memory: nothing for a worker to do.
        return DataLoader(batches, batch_size=None, shuffle=False)


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

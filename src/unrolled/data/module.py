"""Lightning's view of tokenized text."""

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, Subset

from unrolled.data.streams import Streams, TokenBatch
from unrolled.data.tokens import TokenizedCorpus


class TextDataModule(pl.LightningDataModule):
    """The splits of a corpus as streams.

    Training streams are shared out among the ranks. Each rank evaluates the whole of the other
    splits: it costs time, and the figures are exactly those of one process.

    Args:
        overfit_batches: debugging: train and validate on the first so many training batches.
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

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training split."""
        return len(self._training_batches())

    def train_dataloader(self) -> DataLoader[TokenBatch]:
        trainer = self.trainer
        if trainer is None:
            return self._loader(self._training_batches())
        return self._loader(self._training_batches(trainer.global_rank, trainer.world_size))

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

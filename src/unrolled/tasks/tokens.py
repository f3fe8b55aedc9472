"""What tasks that predict a tokenizer's tokens share: their data, their model's ends, their
prompts."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from unrolled.data.corpus import Corpus
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.data.tokens import TOKENIZER, TokenizedCorpus, prepare, tokenize
from unrolled.errors import DataError, RunError
from unrolled.tasks.generation import Request, TextTask
from unrolled.tasks.interface import Interface
from unrolled.tasks.task import Sources, read_kept, require_at_least

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.build import Parts
    from unrolled.models.clusters import Ids
    from unrolled.tasks.token_metrics import TokenMetrics

SHOWN_UNKNOWN = 10
# Tokens counted at a time, each as a number of eight bytes meanwhile.
COUNTED = 1 << 24
# Figures per token mean the same in two runs only where the tokens are the same.
TOKENS = ("data.tokenizer", "data.vocabulary_size")


@dataclass(frozen=True)
class Sample:
    """Text that is generated at each validation.

    Attributes:
        prompt: what it continues; None: the start of the validation split.
        length: in tokens; 0: no samples.
        temperature: of the draws; 0 is greedy.
    """

    prompt: str | None = None
    length: int = 200
    temperature: float = 0.8


DEFAULT_SAMPLE = Sample()


class TokenTask(TextTask):
    """A task over running text whose targets are tokens.

    Args:
        sample: see ``Sample``.
    """

    takes = Corpus
    uses_tokenizer = True
    appended_files = ("samples.txt",)
    predicts_tokens = True

    def __init__(
        self,
        *,
        name: str,
        batch_size: int,
        evaluation_batch_size: int,
        monitor: str | None,
        sample: Sample,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        self.sample = sample
        require_at_least(
            0, **{"sample.length": sample.length, "sample.temperature": sample.temperature}
        )

    def prepare(self, sources: Sources, fitted: TextTokenizer | None = None) -> TokenizedCorpus:
        corpus = sources.load_as(Corpus, self.name)
        if fitted is not None:
            return tokenize(corpus, fitted, sources.cache)
        return prepare(corpus, sources.make_tokenizer(), sources.cache)

    def restore(self, folder: Path) -> TextTokenizer:
        try:
            return load_tokenizer(read_kept(folder, TOKENIZER))
        except DataError as error:
            raise RunError(f"{folder / TOKENIZER}: {error}") from error

    def parts(self, fitted: TextTokenizer, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Embedding, Encoder
        from unrolled.models.heads import Head, LinearHead, TiedHead

        vocabulary, size = fitted.vocabulary_size, model.embedding_size

        def head(hidden_size: int, encoder: Encoder) -> Head:
            if model.tied_weights:
                assert isinstance(encoder, Embedding)
                return TiedHead(hidden_size, encoder)
            # A head as wide as the vocabulary reads the hidden state itself.
            return LinearHead(hidden_size, vocabulary)

        return Parts(size, lambda: Embedding(vocabulary, size), head, tokens=vocabulary)

    def token_counts(self, data: Any) -> "Ids":
        if data.counts is not None:
            return cast("Ids", data.counts["train"])
        return counts_of(data.ids["train"], data.fitted.vocabulary_size)

    def interface(self, fitted: TextTokenizer) -> Interface:
        return Interface(
            {
                "kind": "token ids",
                "vocabulary_size": fitted.vocabulary_size,
                "first": fitted.start_id,
                "unknown": fitted.unknown_id,
            },
            {"kind": "logits of the next token"},
            fitted,
        )

    @abstractmethod
    def tokens_per_character(self, data: Any, split: str) -> float | None:
        """Predicted tokens of a split / characters of its raw text; None where not every token is
        predicted, and bits per character mean nothing."""

    def evaluator(self, data: TokenizedCorpus, split: str) -> "TokenMetrics":
        from unrolled.tasks.token_metrics import TokenMetrics

        rate = self.tokens_per_character(data, split)
        return TokenMetrics(data.fitted.vocabulary_size, rate)

    def training_metrics(
        self, data: TokenizedCorpus, loss: float, predicted: "Tensor", targets: "Tensor"
    ) -> dict[str, float]:
        from unrolled.data.batches import IGNORE
        from unrolled.tasks.token_metrics import from_loss

        # The accuracy is this one batch's: counting every batch's would cost more than it tells.
        kept = targets != IGNORE
        accuracy = float((predicted == targets)[kept].float().mean())
        return {**from_loss(loss, self.tokens_per_character(data, "train")), "accuracy": accuracy}

    def encode_prompt(self, fitted: TextTokenizer, request: Request) -> list[int]:
        unknown = fitted.unknown_pieces(request.prompt)
        if unknown and not request.allow_unknown:
            shown = ", ".join(repr(piece) for piece in unknown[:SHOWN_UNKNOWN])
            raise DataError(
                f"the prompt has what the model never saw: {shown}; write it otherwise, "
                "or let it be the unknown token with --allow-unknown"
            )
        return [fitted.start_id, *fitted.encode_prompt(request.prompt).tolist()]


def counts_of(ids: npt.NDArray[np.integer], vocabulary_size: int) -> "Ids":
    """How often each token occurs, ``[vocabulary_size]``, in bounded memory."""
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    for first in range(0, len(ids), COUNTED):
        counts += np.bincount(ids[first : first + COUNTED], minlength=vocabulary_size)
    return counts

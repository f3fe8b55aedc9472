"""Language modeling: predict each next token of running text."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from unrolled.data.corpus import Corpus
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.data.tokens import TOKENIZER, TokenizedCorpus, tokenize
from unrolled.data.tokens import prepare as prepare_tokens
from unrolled.errors import DataError, RunError
from unrolled.runs.task import Metric, TaskDescription
from unrolled.tasks.generation import Request, Surprisal, TextTask
from unrolled.tasks.task import Sources, require_at_least

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch import Tensor

    from unrolled.data.module import StreamModule
    from unrolled.models.build import Parts
    from unrolled.models.model import RecurrentModel
    from unrolled.tasks.language_modeling.metrics import LanguageModelingMetrics
    from unrolled.tasks.language_modeling.sampling import Sampling

# Prompts that are generated side by side.
TOGETHER = 32
SHOWN_UNKNOWN = 10
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


class LanguageModeling(TextTask):
    """Truncated backpropagation through time over contiguous streams of text.

    Perplexity is exp(total negative log-likelihood / total tokens) over a whole split, the state
    carried from its first token to its last.

    Args:
        batch_size: the training split is cut into so many contiguous streams, read side by side.
        sequence_length: steps of truncated backpropagation through time.
        evaluation_batch_size: 1 carries the state over the whole split; more streams are faster,
            and lose some context.
        evaluation_sequence_length: tokens per chunk of an evaluation, whose figures do not depend
            on it.
        sample: see ``Sample``.
    """

    takes = Corpus
    primary = "perplexity"
    headline = ("perplexity", "bits_per_character", "accuracy", "f1_macro")
    uses_tokenizer = True
    carries_state = True
    appended_files = ("samples.txt",)
    metrics = {
        "loss": Metric("min", "nats per token", within=TOKENS),
        "perplexity": Metric("min", within=TOKENS),
        "bits_per_character": Metric("min", "bits"),
        "accuracy": Metric("max", within=TOKENS),
        "accuracy_top5": Metric("max", within=TOKENS),
        **{
            f"{name}_{average}": Metric("max", within=TOKENS)
            for name in ("precision", "recall", "f1")
            for average in ("macro", "micro")
        },
    }

    def __init__(
        self,
        *,
        name: str,
        batch_size: int,
        sequence_length: int,
        evaluation_batch_size: int,
        evaluation_sequence_length: int,
        monitor: str | None = None,
        sample: Sample = Sample(),
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        require_at_least(
            1,
            sequence_length=sequence_length,
            evaluation_sequence_length=evaluation_sequence_length,
        )
        self.sequence_length = sequence_length
        self.evaluation_sequence_length = evaluation_sequence_length
        self.sample = sample
        require_at_least(
            0, **{"sample.length": sample.length, "sample.temperature": sample.temperature}
        )

    def prepare(self, sources: Sources, fitted: TextTokenizer | None = None) -> TokenizedCorpus:
        corpus = sources.load()
        if not isinstance(corpus, Corpus):
            raise DataError(
                f"dataset={sources.dataset.name}: its loader gave a {type(corpus).__name__}, and "
                f"task={self.name} takes a Corpus"
            )
        if fitted is not None:
            return tokenize(corpus, fitted)
        return prepare_tokens(corpus, sources.make_tokenizer(), sources.cache)

    def restore(self, folder: Path) -> TextTokenizer:
        path = folder / TOKENIZER
        if not path.is_file():
            raise RunError(
                f"{folder}: no {TOKENIZER} in it; the run ended before it began to train"
            )
        try:
            return load_tokenizer(path.read_text(encoding="utf-8"))
        except DataError as error:
            raise RunError(f"{path}: {error}") from error

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

        return Parts(size, lambda: Embedding(vocabulary, size), head)

    def batches(
        self, data: TokenizedCorpus, *, seed: int, overfit_batches: int | None = None
    ) -> "StreamModule":
        from unrolled.data.module import StreamModule

        return StreamModule(
            data,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            evaluation_batch_size=self.evaluation_batch_size,
            evaluation_sequence_length=self.evaluation_sequence_length,
            overfit_batches=overfit_batches,
        )

    def evaluator(self, data: TokenizedCorpus, split: str) -> "LanguageModelingMetrics":
        from unrolled.tasks.language_modeling.metrics import LanguageModelingMetrics

        rate = data.tokens_per_character(split)
        return LanguageModelingMetrics(data.fitted.vocabulary_size, rate)

    def training_metrics(
        self, data: TokenizedCorpus, loss: float, scores: "Tensor", targets: "Tensor"
    ) -> dict[str, float]:
        from unrolled.data.batches import IGNORE
        from unrolled.tasks.language_modeling.metrics import from_loss

        # The accuracy is this one batch's: counting every batch's would cost more than it tells.
        kept = targets != IGNORE
        accuracy = float((scores.argmax(-1) == targets)[kept].float().mean())
        return {**from_loss(loss, data.tokens_per_character("train")), "accuracy": accuracy}

    def baselines(self, data: TokenizedCorpus) -> dict[str, dict[str, float]]:
        return _unigram(data.describe())

    def cautions(self, data: TokenizedCorpus) -> dict[str, str]:
        return _unknown_tokens(data.describe())

    def callbacks(self, data: TokenizedCorpus, folder: Path, seed: int) -> "Iterable[pl.Callback]":
        from unrolled.tasks.language_modeling.samples import Samples

        return [Samples(self.sample, data, folder, seed)] if self.sample.length else []

    def encode_prompt(self, fitted: TextTokenizer, request: Request) -> list[int]:
        unknown = fitted.unknown_pieces(request.prompt)
        if unknown and not request.allow_unknown:
            shown = ", ".join(repr(piece) for piece in unknown[:SHOWN_UNKNOWN])
            raise DataError(
                f"the prompt has what the model never saw: {shown}; write it otherwise, "
                "or let it be the unknown token with --allow-unknown"
            )
        return [fitted.start_id, *fitted.encode_prompt(request.prompt).tolist()]

    def continuation(
        self, fitted: TextTokenizer, model: "RecurrentModel", prompt: list[int], request: Request
    ) -> Iterator[str]:
        from unrolled.tasks.language_modeling.beams import beam_search
        from unrolled.tasks.language_modeling.sampling import generate

        text, stop = fitted.stream(), _stop(fitted, request)
        if request.beams is None:
            drawn = generate(
                model,
                prompt,
                length=request.length,
                sampling=_sampling(request),
                seed=request.seed,
                stop=stop,
            )
            return map(text, itertools.chain(prompt[1:], drawn))
        beams, penalty = request.beams, request.repetition_penalty

        def found() -> Iterator[int]:
            yield from beam_search(
                model,
                prompt,
                beams=beams,
                length=request.length,
                stop=stop,
                repetition_penalty=penalty,
            )

        return map(text, itertools.chain(prompt[1:], found()))

    def continuations(
        self,
        fitted: TextTokenizer,
        model: "RecurrentModel",
        prompts: Sequence[list[int]],
        request: Request,
    ) -> Iterator[str]:
        from unrolled.tasks.language_modeling.sampling import generate_together

        if request.beams is not None:
            return super().continuations(fitted, model, prompts, request)
        sampling, stop = _sampling(request), _stop(fitted, request)

        def texts() -> Iterator[str]:
            for first in range(0, len(prompts), TOGETHER):
                some = prompts[first : first + TOGETHER]
                steps = generate_together(
                    model,
                    some,
                    length=request.length,
                    sampling=sampling,
                    seeds=[request.of_place(first + place).seed for place in range(len(some))],
                    stop=stop,
                    width=TOGETHER,
                )
                ids = [prompt[1:] for prompt in some]
                for tokens in steps:
                    for text, token in zip(ids, tokens, strict=True):
                        if token is not None:
                            text.append(token)
                for text in ids:
                    yield "".join(map(fitted.stream(), text))

        return texts()

    def surprisals(
        self, fitted: TextTokenizer, model: "RecurrentModel", text: str, alternatives: int = 0
    ) -> Iterator[Surprisal]:
        from unrolled.tasks.language_modeling.surprisal import surprisals

        return surprisals(model, fitted, text, alternatives)


def describe_schema_1(record: Mapping[str, Any]) -> dict[str, Any]:
    """The task's description for a record of schema 1, whose ``data`` has what it needs."""
    data, task = record.get("data") or {}, record["config"]["task"]
    return TaskDescription(
        "language_modeling",
        LanguageModeling.primary,
        LanguageModeling.metrics,
        str(task.get("monitor", "validation/loss")),
        _unigram(data),
        _unknown_tokens(data),
    ).to_dict()


def _sampling(request: Request) -> "Sampling":
    from unrolled.tasks.language_modeling.sampling import Sampling

    return Sampling(request.temperature, request.top_k, request.top_p, request.repetition_penalty)


def _stop(fitted: TextTokenizer, request: Request) -> int | None:
    """The token that ends a text: a line's end where the tokenizer has none for the end of a
    sentence."""
    if not request.stop:
        return None
    end = fitted.end_of_sentence_id
    return fitted.start_id if end is None else end


def _unigram(data: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What knowing only how frequent each token is would score, from a record's ``data``."""
    figures: dict[str, float] = {}
    for split, perplexity in (data.get("unigram_perplexity") or {}).items():
        loss = math.log(perplexity)
        figures |= {f"{split}/loss": loss, f"{split}/perplexity": float(perplexity)}
        size = (data.get("sizes") or {}).get(split) or {}
        if size.get("characters"):
            per_character = loss / math.log(2) * float(size["tokens"]) / float(size["characters"])
            figures[f"{split}/bits_per_character"] = per_character
    return {"unigram": figures} if figures else {}


def _unknown_tokens(data: Mapping[str, Any]) -> dict[str, str]:
    """What flatters bits per character, from a record's ``data``."""
    rates = {
        split: size.get("unknown_rate") or 0.0 for split, size in (data.get("sizes") or {}).items()
    }
    return {
        f"{split}/bits_per_character": (
            f"{100 * rate:.2g} % of the {split} tokens are unknown "
            f"(tokenizer {data.get('tokenizer')}): "
            "naming an unknown token costs less than spelling it, which flatters bits per "
            "character."
        )
        for split, rate in rates.items()
        if rate > 0
    }

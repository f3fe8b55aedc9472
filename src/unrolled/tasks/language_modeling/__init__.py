"""Language modeling: predict each next token of running text."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.data.corpus import SPLITS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokens import TokenizedCorpus
from unrolled.runs.task import Metric, TaskDescription
from unrolled.tasks.generation import Request, Surprisal
from unrolled.tasks.kneser_ney import Ids, running_contexts
from unrolled.tasks.task import require_at_least
from unrolled.tasks.tokens import DEFAULT_SAMPLE, TOKENS, Sample, TokenTask

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from unrolled.data.module import StreamModule
    from unrolled.models.model import RecurrentModel
    from unrolled.tasks.adaptation import Adapter

# Prompts that are generated side by side.
TOGETHER = 32


class LanguageModeling(TokenTask):
    """Truncated backpropagation through time over contiguous streams of text.

    Perplexity is exp(total negative log-likelihood / total tokens) over a whole split, the state
    carried from its first token to its last.

    Args:
        batch_size: the training split is cut into so many contiguous streams, read side by side.
        sequence_length: steps of truncated backpropagation through time.
        evaluation_batch_size: 1 carries the state over the whole split; more streams are faster,
            and begin without context.
        evaluation_warm_up: tokens that each stream of an evaluation reads before those that it
            predicts, for their context.
        evaluation_sequence_length: tokens per chunk of an evaluation, whose figures do not depend
            on it.
        variable_length: whether the steps of truncated backpropagation are drawn around
            ``sequence_length``, see ``VariableLengths``.
        ngram_order: of the n-gram baseline; 0: none; None: 8 where tokens are characters or
            bytes, else 5, and none for more than ten million training tokens.
        sample: see ``Sample``.
    """

    primary = "perplexity"
    headline = ("perplexity", "bits_per_character", "accuracy", "f1_macro")
    carries_state = True
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
        evaluation_warm_up: int = 0,
        variable_length: bool = False,
        monitor: str | None = None,
        ngram_order: int | None = None,
        sample: Sample = DEFAULT_SAMPLE,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            sample=sample,
        )
        require_at_least(
            1,
            sequence_length=sequence_length,
            evaluation_sequence_length=evaluation_sequence_length,
        )
        require_at_least(0, ngram_order=ngram_order, evaluation_warm_up=evaluation_warm_up)
        self.sequence_length = sequence_length
        self.evaluation_sequence_length = evaluation_sequence_length
        self.evaluation_warm_up = evaluation_warm_up
        self.variable_length = variable_length
        self.ngram_order = ngram_order

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
            evaluation_warm_up=self.evaluation_warm_up,
            variable_length_seed=seed if self.variable_length else None,
            overfit_batches=overfit_batches,
        )

    def tokens_per_character(self, data: TokenizedCorpus, split: str) -> float:
        return data.tokens_per_character(split)

    def baselines(self, data: TokenizedCorpus) -> dict[str, dict[str, float]]:
        from unrolled.tasks import token_baselines as known

        rates = {split: data.tokens_per_character(split) for split in SPLITS[1:]}
        result = {"uniform": known.uniform(data.tokenizer.vocabulary_size, rates)}
        for label, figures in _unigram(data.describe()).items():
            guess = int(data.training_counts.argmax())
            hits = {f"{split}/accuracy": data.share(split, guess) for split in rates}
            result[label] = {**figures, **hits}
        order = known.order_of(self.ngram_order, data.tokenizer, len(data.ids["train"]))
        if order:

            def counted(split: str) -> tuple[Ids, Ids]:
                ids = data.ids[split]
                return running_contexts(ids, data.tokenizer.start_id, order), ids

            losses = known.ngram_losses(data, order, counted, {"contexts": "running"})
            result[f"{order}-gram"] = known.from_losses(losses, rates)
        return result

    def cautions(self, data: TokenizedCorpus) -> dict[str, str]:
        return _unknown_tokens(data.describe())

    def callbacks(self, data: TokenizedCorpus, folder: Path, seed: int) -> "Iterable[pl.Callback]":
        from unrolled.tasks.samples import Samples

        return [Samples(self.sample, data, folder, seed)] if self.sample.length else []

    def continuation(
        self, fitted: TextTokenizer, model: "RecurrentModel", prompt: list[int], request: Request
    ) -> Iterator[str]:
        from unrolled.tasks.language_modeling.beams import beam_search
        from unrolled.tasks.sampling import generate, sampling_of

        text, stop = fitted.stream(), _stop(fitted, request)
        if request.beams is None:
            drawn = generate(
                model,
                prompt,
                length=request.length,
                sampling=sampling_of(request),
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
        from unrolled.tasks.sampling import generate_together, sampling_of

        if request.beams is not None:
            return super().continuations(fitted, model, prompts, request)
        sampling, stop = sampling_of(request), _stop(fitted, request)

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

    def adapter(self, data: TokenizedCorpus, model: "RecurrentModel") -> "Adapter":
        """What evaluates a model that adapts to the text: dynamic evaluation, neural cache."""
        from unrolled.tasks.language_modeling.adapting import TextAdapter

        return TextAdapter(data, model)


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

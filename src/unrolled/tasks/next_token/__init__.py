"""Next token from a context: one prediction after each prefix of a line, or after each window."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from omegaconf import DictConfig

from unrolled.data.corpus import SPLITS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokens import TokenizedCorpus
from unrolled.errors import ConfigError, DataError
from unrolled.runs.task import Metric
from unrolled.tasks.examples import ExampleTask
from unrolled.tasks.generation import Request, Surprisal
from unrolled.tasks.interface import Interface
from unrolled.tasks.next_token.contexts import (
    ContextCorpus,
    Ids,
    latest,
    line_so_far,
    prefixes,
    windows,
)
from unrolled.tasks.task import Sources, require_at_least
from unrolled.tasks.tokens import DEFAULT_SAMPLE, TOKENS, Sample, TokenTask, counts_of

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from unrolled.models.build import Parts
    from unrolled.models.clusters import Ids as Counts
    from unrolled.models.model import RecurrentModel

# A token is easier to predict from more context.
SAME = (*TOKENS, "config.task.context")


class NextToken(ExampleTask, TokenTask):
    """Read a context from its first token on, and predict the token after it at its end.

    Where language modeling predicts a token at each step of a text and carries the state, this
    reads every context anew.

    Args:
        context: ``prefix``: every prefix of a line, which begins with the end of the line before,
            so that a line's first token is predicted, too, and its end; blank lines count for
            nothing. ``window``: every ``window`` tokens in a row of the running text.
        max_length: at most so many tokens of a prefix are read, the last ones; None: all.
        window: tokens of a window.
        one_hot: whether the network reads the tokens in one-hot form in place of an embedding.
        padding: the side on which shorter prefixes of a batch are padded. Nothing reads the
            padding, so the side changes no result.
        ngram_order: of the n-gram baseline, as in language modeling; a context has no more tokens
            for it than for the network.
        sample: see ``Sample``.
    """

    similar_lengths = True
    primary = "perplexity"
    headline = ("perplexity", "accuracy", "accuracy_top5", "f1_macro")
    metrics = {
        "loss": Metric("min", "nats per token", within=SAME),
        "perplexity": Metric("min", within=SAME),
        "accuracy": Metric("max", within=SAME),
        "accuracy_top5": Metric("max", within=SAME),
        **{
            f"{name}_{average}": Metric("max", within=SAME)
            for name in ("precision", "recall", "f1")
            for average in ("macro", "micro")
        },
    }

    def __init__(
        self,
        *,
        name: str,
        context: Literal["prefix", "window"],
        max_length: int | None,
        window: int,
        one_hot: bool,
        padding: Literal["right", "left"],
        batch_size: int,
        evaluation_batch_size: int,
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
        require_at_least(1, max_length=max_length, window=window)
        require_at_least(0, ngram_order=ngram_order)
        self.context = context
        self.max_length = max_length
        self.window = window
        self.one_hot = one_hot
        self.padding = padding
        self.ngram_order = ngram_order

    def prepare(self, sources: Sources, fitted: TextTokenizer | None = None) -> ContextCorpus:
        corpus = super().prepare(sources, fitted)
        if corpus.counts is not None:
            raise DataError(
                f"dataset={corpus.name}: task={self.name} keeps an example for each token, for "
                "which this text is too large; take task=language_modeling, or less text"
            )
        cut = self._windows if self.context == "window" else self._prefixes
        return ContextCorpus(
            corpus.name,
            corpus.fingerprint,
            corpus.tokenizer,
            corpus.ids,
            corpus.characters,
            cut(corpus),
            cache=corpus.cache,
        )

    def _prefixes(self, corpus: TokenizedCorpus) -> dict[str, Any]:
        tokenizer = corpus.tokenizer
        ends = tokenizer.line_end_ids
        if not ends:
            raise DataError(
                f"task.context=prefix: no token of tokenizer={tokenizer.kind} ends a line; the "
                "training split needs a line break, and a word tokenizer "
                "tokenizer.end_of_sentence=true; or take task.context=window"
            )
        start = tokenizer.start_id
        return {
            split: prefixes(ids, start, ends, self.max_length) for split, ids in corpus.ids.items()
        }

    def _windows(self, corpus: TokenizedCorpus) -> dict[str, Any]:
        for split, ids in corpus.ids.items():
            if len(ids) <= self.window:
                raise DataError(
                    f"task.window={self.window}: the {split} split has {len(ids):,} tokens, and "
                    "needs at least one more than a window; lower it, or give more text"
                )
        return {split: windows(ids, self.window) for split, ids in corpus.ids.items()}

    def parts(self, fitted: TextTokenizer, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import OneHot
        from unrolled.models.heads import LinearHead

        vocabulary = fitted.vocabulary_size
        if not self.one_hot:
            return replace(super().parts(fitted, model), readout="last")
        if model.tied_weights:
            raise ConfigError(
                "task.one_hot=true: there is no embedding whose weights the output layer could "
                "share; take model.tied_weights=false"
            )
        return Parts(
            vocabulary,
            lambda: OneHot(vocabulary),
            lambda hidden_size, _: LinearHead(hidden_size, vocabulary),
            "last",
            tokens=vocabulary,
        )

    def token_counts(self, data: ContextCorpus) -> "Counts":
        return counts_of(data.splits["train"][1], data.fitted.vocabulary_size)

    def interface(self, fitted: TextTokenizer) -> Interface:
        about = super().interface(fitted)
        window = self.window if self.context == "window" else None
        read = {"context": self.context, "window": window, "max_length": self.max_length}
        return replace(about, inputs={**about.inputs, **read})

    def tokens_per_character(self, data: ContextCorpus, split: str) -> None:
        return None

    def baselines(self, data: ContextCorpus) -> dict[str, dict[str, float]]:
        """Of the targets; the unigram adds one to each count."""
        from unrolled.tasks import token_baselines as known

        size = data.fitted.vocabulary_size
        contexts, train = data.splits["train"]
        held_out = {split: data.splits[split][1] for split in SPLITS[1:]}
        rates = dict.fromkeys(held_out)
        counts = np.bincount(train, minlength=size) + 1.0
        nll = -np.log(counts / counts.sum())
        losses = {split: float(nll[targets].mean()) for split, targets in held_out.items()}
        unigram = known.from_losses(losses, rates) | known.most_frequent(train, held_out)
        result = {"uniform": known.uniform(size, rates), "unigram": unigram}
        order = known.order_of(self.ngram_order, data.fitted, len(train))
        # A longer n-gram than the longest context with its target is none.
        if order := min(order, int(contexts.lengths.max()) + 1):

            def counted(split: str) -> tuple[Ids, Ids]:
                read, targets = data.splits[split]
                return latest(read, order - 1), targets

            settings = {"contexts": self.context, "longest": self.max_length, "of": self.window}
            result[f"{order}-gram"] = known.from_losses(
                known.ngram_losses(data, order, counted, settings), rates
            )
        return result

    def cautions(self, data: ContextCorpus) -> dict[str, str]:
        return {
            f"{split}/{self.primary}": f"The {split} text is the training text: its figures say "
            "what was memorized, and nothing of other text."
            for split in SPLITS[1:]
            if np.array_equal(data.ids[split], data.ids["train"])
        }

    def callbacks(self, data: ContextCorpus, folder: Path, seed: int) -> "Iterable[pl.Callback]":
        from unrolled.tasks.next_token.generation import generate
        from unrolled.tasks.samples import Samples

        if not self.sample.length:
            return []
        continued = partial(generate, context=self._reader(data.fitted))
        return [Samples(self.sample, data, folder, seed, continued)]

    def encode_prompt(self, fitted: TextTokenizer, request: Request) -> list[int]:
        ids = super().encode_prompt(fitted, request)
        there = len(ids) - 1
        if self.context == "window" and there < self.window:
            raise DataError(
                f"the prompt has {there} {'token' if there == 1 else 'tokens'}, and the model "
                f"reads windows of task.window={self.window}; give it at least as many"
            )
        return ids

    def continuation(
        self, fitted: TextTokenizer, model: "RecurrentModel", prompt: list[int], request: Request
    ) -> Iterator[str]:
        from unrolled.tasks.next_token.generation import generate
        from unrolled.tasks.sampling import sampling_of

        if request.beams is not None:
            raise ConfigError(
                f"beams {request.beams}: task={self.name} reads its context anew for each token, "
                "and has no state for each beam; draw, or take a task that carries its state"
            )
        drawn = generate(
            model,
            prompt,
            self._reader(fitted),
            length=request.length,
            sampling=sampling_of(request),
            seed=request.seed,
            stop=fitted.line_end_ids if request.stop else (),
        )
        return map(fitted.stream(), itertools.chain(prompt[1:], drawn))

    def surprisals(
        self, fitted: TextTokenizer, model: "RecurrentModel", text: str, alternatives: int = 0
    ) -> Iterator[Surprisal]:
        from unrolled.tasks.next_token.generation import surprisals

        ids = fitted.encode(text)
        if self.context == "prefix":
            contexts = prefixes(ids, fitted.start_id, fitted.line_end_ids, self.max_length)
        elif len(ids) > self.window:
            contexts = windows(ids, self.window)
        else:
            return iter(())
        return surprisals(model, fitted, contexts, self.evaluation_batch_size, alternatives)

    def _reader(self, fitted: TextTokenizer) -> "partial[Sequence[int]]":
        """What the model reads of the tokens so far."""
        if self.context == "window":
            return partial(_last, count=self.window)
        return partial(line_so_far, ends=set(fitted.line_end_ids), longest=self.max_length)


def _last(tokens: Sequence[int], count: int) -> Sequence[int]:
    return tokens[-count:]

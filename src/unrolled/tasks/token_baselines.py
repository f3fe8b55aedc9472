"""What a network that predicts tokens must beat: the uniform guess, the unigram, and an n-gram
model of the same tokens."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.corpus import SPLITS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokens import TokenizedCorpus
from unrolled.errors import UnrolledError
from unrolled.runs.files import write_json
from unrolled.runs.locks import hold
from unrolled.tasks.kneser_ney import Ids, KneserNey

# Goes up when the same settings would give other figures, so that older ones are not used.
FORMAT = 1
# Tokens of an n-gram. Of characters of the embedded corpus 12 give a perplexity only 1.4 % lower
# than 8 do, and of words of Penn Treebank 6 one only 0.5 % lower than 5.
CHARACTERS = 8
WORDS = 5
# Counting more training tokens than this takes over 15 seconds and 1.5 GB, and must be asked for.
MOST_TOKENS = 10_000_000
# Seconds to wait while another run of a sweep counts the same n-grams.
LONGEST_WAIT = 600.0

log = logging.getLogger(__name__)

# For a split the contexts of its predicted tokens, as ``KneserNey`` reads them, and the tokens.
Counted = Callable[[str], tuple[Ids, Ids]]


def uniform(vocabulary_size: int, rates: Mapping[str, float | None]) -> dict[str, float]:
    """The figures of a guess that takes every token for as likely as any other.

    Args:
        rates: for each split its predicted tokens per character of raw text, or None.
    """
    losses = dict.fromkeys(SPLITS[1:], float(np.log(vocabulary_size)))
    accuracies = {f"{split}/accuracy": 1 / vocabulary_size for split in losses}
    return {**from_losses(losses, rates), **accuracies}


def most_frequent(train: Ids, held_out: Mapping[str, Ids]) -> dict[str, float]:
    """For each split the accuracy of naming the most frequent training token each time."""
    guess = int(np.bincount(train).argmax())
    return {f"{split}/accuracy": float(np.mean(ids == guess)) for split, ids in held_out.items()}


def from_losses(
    losses: Mapping[str, float], rates: Mapping[str, float | None]
) -> dict[str, float]:
    """Loss, perplexity and bits per character of each split, from its loss."""
    from unrolled.tasks.token_metrics import from_loss

    return {
        f"{split}/{name}": value
        for split, loss in losses.items()
        for name, value in from_loss(loss, rates[split]).items()
    }


def order_of(asked: int | None, tokenizer: TextTokenizer, tokens: int) -> int:
    """The order of the n-gram model; 0: none.

    Args:
        asked: the configuration's; None: as the kind of token and their number allow.
        tokens: of the training split.
    """
    if asked is not None:
        return asked
    if tokens > MOST_TOKENS:
        return 0
    return CHARACTERS if tokenizer.cuts_anywhere else WORDS


def ngram_losses(
    data: TokenizedCorpus, order: int, counted: Counted, settings: Mapping[str, Any]
) -> dict[str, float]:
    """The mean negative log-likelihood of a token, in nats, of the validation and the test split
    under an n-gram model of the training split; from the cache where they have been worked out.

    Args:
        settings: what besides the text, the tokenizer and the order decides what is counted.
    """
    if data.cache is None:
        return _count(data, counted)
    about = [FORMAT, data.fingerprint, data.tokenizer_fingerprint, order, dict(settings)]
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    path = data.cache / f"ngrams-{key}.json"
    if (stored := _read(path)) is not None:
        return stored
    with contextlib.ExitStack() as stack:
        try:
            lock = path.with_suffix(".lock")
            stack.enter_context(hold(lock, str(path), LONGEST_WAIT))
        except UnrolledError as error:
            # Two processes that count the same cost time, and nothing else.
            log.debug("%s: not locked (%s)", path, error)
        # Another run may have counted them while this one waited.
        if (stored := _read(path)) is not None:
            return stored
        losses = _count(data, counted)
        try:
            write_json(path, losses)
        except UnrolledError as error:
            log.warning("%s: the n-gram baseline cannot be cached there (%s)", path.parent, error)
        return losses


def _count(data: TokenizedCorpus, counted: Counted) -> dict[str, float]:
    model = KneserNey(*counted("train"), data.tokenizer.vocabulary_size)
    return {
        split: float(-np.log(model.probabilities(*counted(split))).mean()) for split in SPLITS[1:]
    }


def _read(path: Path) -> dict[str, float] | None:
    """Cached losses, or None where there are none or the file is damaged."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        return {split: float(stored[split]) for split in SPLITS[1:]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: damaged cache entry (%s); making it again", path, error)
        return None

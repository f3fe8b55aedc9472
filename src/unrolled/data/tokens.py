"""Tokenized text, cached by the content it came from and the settings that made it."""

import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.cache import default_cache
from unrolled.data.corpus import SPLITS, Corpus
from unrolled.data.large_text import LargeCorpus
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.errors import DataError

# Goes up when the same settings would give other tokens, so that older entries are not used.
FORMAT = 1
# What a trained tokenizer is called, in a cache's entry and in a run's folder.
TOKENIZER = "tokenizer.json"

log = logging.getLogger(__name__)

Ids = npt.NDArray[np.integer]


@dataclass(frozen=True)
class TokenizedCorpus:
    """The ids of each split, and what a record says of them.

    Attributes:
        fingerprint: of the raw text.
        ids: for each split, the tokens ``[tokens]``.
        characters: for each split, the characters of its raw text.
        cache: the folder for what is costly to work out of it again; None: none.
        counts: for each split how often each token occurs ``[vocabulary_size]``, where the ids
            stay on disk; None: they are in memory, and can be counted.
    """

    name: str
    fingerprint: str
    tokenizer: TextTokenizer
    ids: dict[str, Ids]
    characters: dict[str, int]
    cache: Path | None = field(default=None, kw_only=True)
    counts: dict[str, Ids] | None = field(default=None, kw_only=True)

    @cached_property
    def sizes(self) -> dict[str, dict[str, float]]:
        """For each split its tokens, its characters, and the share of its tokens that is
        unknown."""
        unknown = self.tokenizer.unknown_id
        return {
            split: {
                "tokens": len(ids),
                "characters": self.characters[split],
                "unknown_rate": 0.0 if unknown is None else self.share(split, unknown),
            }
            for split, ids in self.ids.items()
        }

    def share(self, split: str, token: int) -> float:
        """How many of a split's tokens are this one, as a fraction."""
        if self.counts is None:
            return float(np.mean(self.ids[split] == token))
        return float(self.counts[split][token] / len(self.ids[split]))

    @cached_property
    def training_counts(self) -> Ids:
        """How often each token occurs in the training split ``[vocabulary_size]``."""
        if self.counts is not None:
            return self.counts["train"]
        return np.bincount(self.ids["train"], minlength=self.tokenizer.vocabulary_size)

    @property
    def fitted(self) -> TextTokenizer:
        """The tokenizer, which knows the training split alone."""
        return self.tokenizer

    def tokens_per_character(self, split: str) -> float:
        """Tokens of a split / characters of its raw text."""
        return self.sizes[split]["tokens"] / self.sizes[split]["characters"]

    def describe(self) -> dict[str, Any]:
        """What a record says of the data besides name and fingerprint."""
        return {
            "tokenizer": self.tokenizer.kind,
            "vocabulary_size": self.tokenizer.vocabulary_size,
            "tokenizer_fingerprint": self.tokenizer_fingerprint,
            "sizes": self.sizes,
            "unigram_perplexity": self.unigram_perplexity,
        }

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """sha256 of the trained tokenizer, which takes a while to write out."""
        return hashlib.sha256(self.tokenizer.to_json().encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the tokenizer into a run's folder."""
        (folder / TOKENIZER).write_text(self.tokenizer.to_json(), encoding="utf-8")

    @cached_property
    def unigram_perplexity(self) -> dict[str, float]:
        """What knowing only how often tokens occur gives: the chance level of a language model.

        The counts are the training split's, one added to each.
        """
        size = self.tokenizer.vocabulary_size
        counts = self.training_counts[:size].astype(np.float64) + 1
        nll = -np.log(counts / counts.sum())
        if self.counts is not None:
            sums = {split: float(nll @ self.counts[split]) for split in SPLITS[1:]}
            return {split: float(np.exp(sums[split] / len(self.ids[split]))) for split in sums}
        return {split: float(np.exp(nll[self.ids[split]].mean())) for split in SPLITS[1:]}


def prepare(corpus: Corpus, tokenizer: TextTokenizer, cache: Path | None) -> TokenizedCorpus:
    """Train the tokenizer on the training split, and encode all splits, or take both from the
    cache.

    Raises:
        DataError: the vocabulary covers nothing of a split.
    """
    if isinstance(corpus, LargeCorpus):
        from unrolled.data.large_tokens import prepare_large

        return prepare_large(corpus, tokenizer, cache or default_cache())
    settings = {"kind": tokenizer.kind, "format": FORMAT, **tokenizer.settings}
    key = hashlib.sha256(
        json.dumps([corpus.fingerprint, settings], sort_keys=True).encode()
    ).hexdigest()
    entry = cache / key if cache is not None else None
    if entry is not None and (stored := _read(entry, corpus)) is not None:
        return replace(stored, cache=cache)
    tokenizer.train(corpus.train)
    result = tokenize(corpus, tokenizer)
    if entry is not None:
        _write(entry, result)
    return replace(result, cache=cache)


def tokenize(
    corpus: Corpus, tokenizer: TextTokenizer, cache: Path | None = None
) -> TokenizedCorpus:
    """Encode all splits with a tokenizer that is trained already.

    Args:
        cache: where the ids of a large corpus go; None: ``default_cache``.

    Raises:
        DataError: the vocabulary covers nothing of a split.
    """
    if isinstance(corpus, LargeCorpus):
        from unrolled.data.large_tokens import tokenize_large

        return tokenize_large(corpus, tokenizer, cache or default_cache())
    smallest = np.min_scalar_type(tokenizer.vocabulary_size - 1)
    ids = {split: tokenizer.encode(corpus.split(split)).astype(smallest) for split in SPLITS}
    result = TokenizedCorpus(
        corpus.name,
        corpus.fingerprint,
        tokenizer,
        ids,
        {split: len(corpus.split(split)) for split in SPLITS},
    )
    # A line's end, say, is in every vocabulary, and says nothing of the text.
    blank = tokenizer.blank_ids
    for split in SPLITS:
        require_covered(tokenizer, split, not np.isin(ids[split], blank).all())
    return result


def require_covered(tokenizer: TextTokenizer, split: str, covered: bool) -> None:
    """Refuse a split of which the vocabulary knows nothing.

    Raises:
        DataError: it is one.
    """
    if not covered:
        raise DataError(
            f"tokenizer={tokenizer.kind}: the vocabulary covers nothing of the {split} split; "
            "is it another language or alphabet than the training split?"
        )


def _write(entry: Path, result: TokenizedCorpus) -> None:
    """Put an entry into the cache in one step; of two processes at once, the first one's stays."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        # Not tempfile's, which only its owner may read: people may share a cache.
        temporary = entry.parent / f".making-{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            manifest: dict[str, object] = {"characters": result.characters}
            (temporary / TOKENIZER).write_text(result.tokenizer.to_json(), "utf-8")
            for split, ids in result.ids.items():
                np.save(temporary / f"{split}.npy", ids, allow_pickle=False)
            manifest["sha256"] = {name: _digest(temporary / name) for name in _files()}
            (temporary / "manifest.json").write_text(json.dumps(manifest), "utf-8")
            if not entry.exists():
                temporary.rename(entry)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        # The cache only saves time; its being full or read-only must not stop a run.
        if not (entry / "manifest.json").is_file():
            log.warning("%s: tokenized text cannot be cached there (%s)", entry.parent, error)


def _read(entry: Path, corpus: Corpus) -> TokenizedCorpus | None:
    """The cached entry, or None where there is none or it is not what was written."""
    try:
        if not entry.is_dir():
            return None
        manifest = json.loads((entry / "manifest.json").read_text("utf-8"))
        whole = all(_digest(entry / name) == manifest["sha256"][name] for name in _files())
        if not whole:
            raise ValueError("a file has changed")
        tokenizer = load_tokenizer((entry / TOKENIZER).read_text("utf-8"))
        ids = {split: np.load(entry / f"{split}.npy", allow_pickle=False) for split in SPLITS}
        return TokenizedCorpus(
            corpus.name, corpus.fingerprint, tokenizer, ids, manifest["characters"]
        )
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        log.warning("%s: damaged cache entry (%s); making it again", entry, error)
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _files() -> list[str]:
    return [TOKENIZER, *(f"{split}.npy" for split in SPLITS)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

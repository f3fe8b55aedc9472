"""The ids of a corpus that is too large for memory: made in chunks by several processes, kept on
disk, and mapped into memory from there."""

import contextlib
import hashlib
import json
import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from unrolled.data.chunk_worker import apply, processes_asked_for
from unrolled.data.chunks import chunks
from unrolled.data.corpus import SPLITS
from unrolled.data.large_text import LargeCorpus
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.data.tokens import FORMAT, TokenizedCorpus, require_covered
from unrolled.errors import DataError, StorageError, full_disk_said

# Seconds between two lines about progress where there is no terminal, and between two looks at it.
REPORTED = 30.0
SHOWN = 0.5

log = logging.getLogger(__name__)


def prepare_large(corpus: LargeCorpus, tokenizer: TextTokenizer, cache: Path) -> TokenizedCorpus:
    """As ``tokens.prepare``; what it makes is in the cache, and stays there.

    Raises:
        DataError: the tokenizer cannot work on chunks, or its vocabulary covers nothing.
        StorageError: the cache cannot be written.
    """
    _require_chunks(tokenizer)
    survey = corpus.survey(cache)
    settings = {"kind": tokenizer.kind, "format": FORMAT, **tokenizer.settings}
    path = cache / f"tokenizer-{_key(survey.fingerprint, settings)}.json"
    with _alone(path):
        try:
            tokenizer = load_tokenizer(path.read_text("utf-8"))
        except (OSError, ValueError, DataError) as error:
            if path.exists():
                log.warning("%s: damaged cache entry (%s); making it again", path, error)
            _train(corpus, tokenizer)
            temporary = path.with_suffix(".making")
            with _written(cache, temporary):
                temporary.write_text(tokenizer.to_json(), "utf-8")
                temporary.replace(path)
    return tokenize_large(corpus, tokenizer, cache)


def tokenize_large(corpus: LargeCorpus, tokenizer: TextTokenizer, cache: Path) -> TokenizedCorpus:
    """As ``tokens.tokenize``, the ids of each split mapped from the cache.

    Raises:
        DataError: the tokenizer cannot work on chunks, or its vocabulary covers nothing of a
            split.
        StorageError: the cache cannot be written.
    """
    _require_chunks(tokenizer)
    survey = corpus.survey(cache)
    entry = cache / f"ids-{_key(FORMAT, survey.fingerprint, tokenizer.to_json())}"
    with _alone(entry):
        if not entry.is_dir():
            making = entry.with_name(f".{entry.name}.making")
            with _written(cache, making):
                # Of one that was killed.
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                for split in SPLITS:
                    _encode(corpus, split, tokenizer, making)
                making.rename(entry)
    try:
        ids = {split: np.load(entry / f"{split}.npy", mmap_mode="r") for split in SPLITS}
        counts = {split: np.load(entry / f"{split}-counts.npy") for split in SPLITS}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{entry}: damaged cache entry ({error}); remove this folder, and the next run makes "
            "it again"
        ) from error
    for split in SPLITS:
        blank = int(counts[split][tokenizer.blank_ids].sum())
        require_covered(tokenizer, split, blank < len(ids[split]))
    return TokenizedCorpus(
        corpus.name,
        survey.fingerprint,
        tokenizer,
        ids,
        dict(survey.characters),
        cache=cache,
        counts=counts,
    )


def _train(corpus: LargeCorpus, tokenizer: TextTokenizer) -> None:
    parts = _reported(corpus, "train", tokenizer, f"{corpus.name}: vocabulary")
    if not tokenizer.counts_pieces:
        tokenizer.train_on_chunks(text for text, _ in parts)
        return
    total: Counter[str] = Counter()
    with contextlib.closing(parts):
        found = apply(tokenizer, "count", ((text,) for text, _ in parts), processes_asked_for())
        with contextlib.closing(found):
            for counts in found:
                total.update(counts)
    tokenizer.train_on_counts(total)


def _encode(corpus: LargeCorpus, split: str, tokenizer: TextTokenizer, folder: Path) -> None:
    """Write the ids of a split and their counts as ``.npy`` files."""
    dtype = np.min_scalar_type(tokenizer.vocabulary_size - 1)
    counts = np.zeros(tokenizer.vocabulary_size, dtype=np.int64)
    length = 0
    parts = _reported(corpus, split, tokenizer, f"{corpus.name}: {split} tokens")
    found = apply(tokenizer, "encode_chunk", parts, processes_asked_for())
    with (folder / f"{split}.npy").open("wb") as file, contextlib.closing(found):
        _write_header(file, 0, dtype)
        begin = file.tell()
        for ids in found:
            file.write(ids.astype(dtype).tobytes())
            counts += np.bincount(ids, minlength=len(counts))
            length += len(ids)
        file.seek(0)
        _write_header(file, length, dtype)
        # NumPy leaves room in a header for the number to grow.
        assert file.tell() == begin
    np.save(folder / f"{split}-counts.npy", counts)


def _write_header(file: IO[bytes], length: int, dtype: Any) -> None:
    about = {"shape": (length,), "fortran_order": False}
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {**about, "descr": descr})


def _reported(
    corpus: LargeCorpus, split: str, tokenizer: TextTokenizer, what: str
) -> Generator[tuple[str, bool], None, None]:
    """The chunks of a split, and how far they are, on one line of a terminal."""
    total, done = corpus.characters(split), 0
    shown = time.monotonic()
    terminal = sys.stderr.isatty()
    last = ""
    for text, goes_on in chunks(corpus.blocks(split), tokenizer.cuts_anywhere):
        yield text, goes_on
        done += len(text)
        if time.monotonic() - shown > (SHOWN if terminal else REPORTED):
            shown = time.monotonic()
            last = f"{what}: {done / total:.0%} of {total:,} characters"
            if terminal:
                sys.stderr.write(f"\r{last}")
                sys.stderr.flush()
            else:
                log.info(last)
    if terminal and last:
        sys.stderr.write("\r" + " " * len(last) + "\r")


def _require_chunks(tokenizer: TextTokenizer) -> None:
    if tokenizer.settings.get("strip_html"):
        raise DataError(
            "tokenizer.strip_html=true: a tag may begin in one part of a text that is too large "
            "for memory and end in another; strip the files first"
        )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of the processes that would make ``path``, one at a time."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process makes it; waiting", path)
            lock.acquire(poll_interval=0.2)
    except (OSError, NotImplementedError) as error:
        raise StorageError(
            f"{path.parent}: the ids of a large text go there, and it cannot be written "
            f"({error}); "
            "set paths.cache to another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _written(cache: Path, making: Path) -> Iterator[None]:
    """Leave nothing half made, and say in a sentence that there is no room."""
    try:
        with full_disk_said(
            cache,
            "the ids of a large text cannot be written there",
            "make room, or set paths.cache to a folder on another disk",
        ):
            yield
    finally:
        if making.is_dir():
            shutil.rmtree(making, ignore_errors=True)
        else:
            making.unlink(missing_ok=True)


def _key(*about: object) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

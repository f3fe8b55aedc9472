"""A text that stays in its files has the splits, the tokens and the fingerprint that it would have
in memory."""

import contextlib
import gzip
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import chunks, large_text, text_stream
from unrolled.data.corpus import SPLITS, Corpus
from unrolled.data.large_text import LargeCorpus
from unrolled.data.streams import Streams
from unrolled.data.text import load_splits, load_text
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import BpeTokenizer, ByteTokenizer, CharTokenizer, WordTokenizer
from unrolled.data.tokens import TokenizedCorpus, prepare, tokenize
from unrolled.errors import DataError, StorageError

LINES = "".join(
    f"Die {n}. Straße: ΟΔΟΣ{n % 7} und\tναός, «{n * 7919 % 1013}» 北京 don't  ende \n"
    + "\n" * (n % 3)
    for n in range(900)
)
ONE_LINE = LINES.replace("\n", " ")
WITHOUT_SPACES = "".join(ONE_LINE.split())


def word(**values: Any) -> WordTokenizer:
    defaults = {
        "vocabulary_size": None, "minimum_count": 2, "strip_html": False, "lowercase": True,
        "punctuation": "split", "end_of_sentence": True,
    }  # fmt: skip
    return WordTokenizer(name="word", **{**defaults, **values})


def tokenizers() -> dict[str, TextTokenizer]:
    return {
        "char": CharTokenizer(name="char", minimum_count=2, lowercase=True),
        "byte": ByteTokenizer(name="byte"),
        "bpe": BpeTokenizer(name="bpe", vocabulary_size=300, minimum_count=1, lowercase=True),
        "word": word(),
        "word without ends": word(end_of_sentence=False, punctuation="keep", lowercase=False),
    }


def load(path: Path, **values: Any) -> Corpus:
    defaults = {
        "validation_path": None, "test_path": None, "validation_fraction": 0.1,
        "test_fraction": 0.1, "encoding": "utf-8",
    }  # fmt: skip
    return load_text("text", str(path), **{**defaults, **values})


@contextlib.contextmanager
def large(processes: int = 1) -> Iterator[None]:
    """Every text is too large, and small pieces of it are read and tokenized apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_text, "LARGE", 10)
        patch.setattr(text_stream, "BLOCK", 1001)
        patch.setattr(chunks, "CHUNK", 5000)
        patch.setattr(chunks, "CONTEXT", 300)
        patch.setattr(chunks, "LONGEST", 500)
        patch.setenv("UNROLLED_PROCESSES", str(processes))
        yield


def assert_same(one: TokenizedCorpus, other: TokenizedCorpus) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.tokenizer.to_json() == other.tokenizer.to_json()
    for split in SPLITS:
        np.testing.assert_array_equal(one.ids[split], other.ids[split])
        assert one.ids[split].dtype == other.ids[split].dtype
    assert one.sizes == other.sizes
    assert one.unigram_perplexity == pytest.approx(other.unigram_perplexity, rel=1e-12)


@pytest.mark.parametrize("kind", tokenizers())
@pytest.mark.parametrize("text", [LINES, ONE_LINE, WITHOUT_SPACES], ids=["lines", "line", "run"])
def test_chunks_have_the_tokens_of_the_whole(tmp_path: Path, kind: str, text: str) -> None:
    if text == WITHOUT_SPACES and kind == "word without ends":
        pytest.skip("a single word, which no other split has")
    (tmp_path / "a.txt").write_text(text, "utf-8")
    whole = prepare(load(tmp_path / "a.txt"), tokenizers()[kind], None)
    with large():
        corpus = load(tmp_path / "a.txt")
        assert isinstance(corpus, LargeCorpus)
        parts = prepare(corpus, tokenizers()[kind], tmp_path / "cache")
    assert isinstance(parts.ids["train"], np.memmap)
    assert_same(parts, whole)
    np.testing.assert_array_equal(parts.training_counts, whole.training_counts)


@pytest.mark.parametrize("kind", ["word", "char"])
def test_several_processes_make_what_one_makes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.txt").write_text(LINES, "utf-8")
    whole = prepare(load(tmp_path / "a.txt"), tokenizers()[kind], None)
    with large(processes=3):
        found = prepare(load(tmp_path / "a.txt"), tokenizers()[kind], tmp_path / "cache")
    assert_same(found, whole)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_every_encoding_and_a_compressed_file(tmp_path: Path, encoding: str, newline: str) -> None:
    content = LINES.replace("\n", newline).encode(encoding)
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "b.gz").write_bytes(gzip.compress(content))
    for name in ("a.txt", "b.gz"):
        whole = load(tmp_path / name, encoding=encoding)
        with large():
            parts = load(tmp_path / name, encoding=encoding)
            assert isinstance(parts, LargeCorpus)
            assert parts.fingerprint == whole.fingerprint
            assert all(parts.split(split) == whole.split(split) for split in SPLITS)
            assert all(parts.characters(s) == len(whole.split(s)) for s in SPLITS)
            assert parts.opening("test", 1500) == whole.test[:1500]


def test_a_folder_own_files_and_files_that_are_split(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(7):
        (folder / f"{n}.txt").write_text(LINES[n * 500 :][:1700], "utf-8")
    (tmp_path / "own.txt").write_text(LINES[-900:], "utf-8")
    split = tmp_path / "split"
    split.mkdir()
    for name in ("train", "valid", "test"):
        (split / f"{name}.txt").write_text(f"{name}\n{LINES}", "utf-8")

    def found() -> list[str]:
        own = str(tmp_path / "own.txt")
        return [
            load(folder).fingerprint,
            load(folder, test_path=own).fingerprint,
            load(tmp_path / "own.txt", validation_path=str(folder)).fingerprint,
            load(tmp_path / "own.txt", validation_path=own, test_path=own).fingerprint,
            load_splits("splits", str(split), "utf-8").fingerprint,
        ]

    whole = found()
    with large():
        assert isinstance(load_splits("splits", str(split), "utf-8"), LargeCorpus)
        assert found() == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n" * 5000, "empty"),
        (b"a\n" * 3000 + b"\0", "byte 6,000 is zero"),
        (b"a\n" * 3000 + b"\xff\n", "byte 6,000 of it is not utf-8"),
        ("aé\n".encode() * 2000 + b"\xc3", "byte 8,000 of it is not utf-8"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with large(), pytest.raises(DataError, match=message):
        prepare(load(tmp_path / "a.txt"), tokenizers()["char"], tmp_path / "cache")


def test_html_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINES, "utf-8")
    with large(), pytest.raises(DataError, match="strip the files first"):
        prepare(load(tmp_path / "a.txt"), word(strip_html=True), tmp_path / "cache")


def test_what_is_in_the_cache_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text(LINES, "utf-8")
    os.utime(path, (1, 1))

    def refuse(*args: object) -> Iterator[str]:
        raise AssertionError("read again")

    with large():
        made = prepare(load(path), word(), cache)
        with monkeypatch.context() as patch:
            patch.setattr(large_text, "text_blocks", refuse)
            assert_same(prepare(load(path), word(), cache), made)
            assert_same(tokenize(load(path), made.tokenizer, cache), made)
        path.write_text(LINES + "more\n", "utf-8")
        assert prepare(load(path), word(), cache).fingerprint != made.fingerprint


def test_a_disk_without_room_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINES, "utf-8")
    cache = tmp_path / "cache"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with large():
        corpus = load(tmp_path / "a.txt")
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            with pytest.raises(StorageError, match=r"make room, or set paths\.cache"):
                prepare(corpus, tokenizers()["byte"], cache)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert not [f for f in cache.iterdir() if "ids-" in f.name and f.suffix != ".lock"]
        prepare(corpus, tokenizers()["byte"], cache)


def test_streams_read_mapped_ids_as_they_read_an_array(tmp_path: Path) -> None:
    ids = np.arange(1, 54, dtype=np.uint16)
    np.save(tmp_path / "ids.npy", ids)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    one, other = Streams(ids, 0, 4, 5), Streams(mapped, 0, 4, 5)
    for place in range(len(one)):
        assert one[place].inputs.equal(other[place].inputs)
        assert one[place].targets.equal(other[place].targets)
    np.testing.assert_array_equal(other.counts(), np.bincount(ids))


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """A text of 50 MB, tokenized and read as batches, with 35 MB of memory to spare."""
    line = " ".join(f"w{n * 7919 % 1013}" for n in range(400)) + "\n"
    block = line * 500
    with (tmp_path / "a.txt").open("w") as file:
        while file.tell() < 50_000_000:
            file.write(block)
    script = f"""
        import re, resource
        from pathlib import Path
        from unrolled.data import large_text
        from unrolled.data.module import StreamModule
        from unrolled.data.text import load_text
        from unrolled.data.tokenizers import ByteTokenizer, WordTokenizer
        from unrolled.data.tokens import prepare
        large_text.LARGE = 1 << 25
        folder = Path({str(tmp_path)!r})
        status = Path("/proc/self/status").read_text()
        used = int(re.search(r"VmData:\\s*(\\d+) kB", status)[1]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + 35_000_000,) * 2)
        corpus = load_text("text", str(folder / "a.txt"), None, None, 0.1, 0.1, "utf-8")
        words = WordTokenizer(
            name="word", vocabulary_size=None, minimum_count=1, strip_html=False,
            lowercase=False, punctuation="keep", end_of_sentence=True,
        )
        data = prepare(corpus, words, folder / "cache")
        data.describe()
        batches = StreamModule(
            data, batch_size=20, sequence_length=35, evaluation_batch_size=10,
            evaluation_sequence_length=100,
        )
        for place, batch in enumerate(batches.training(0, 1)):
            if place == 200:
                break
        print(data.sizes["train"]["tokens"])
        try:
            bytearray(35_000_000)
        except MemoryError:
            print("limited")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "UNROLLED_PROCESSES": "2", "OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr
    tokens, limited = found.stdout.split()
    assert int(tokens) > 6_000_000
    assert limited == "limited"

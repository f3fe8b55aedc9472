import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import tokens
from unrolled.data.corpus import Corpus
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import CharTokenizer, WordTokenizer, load_tokenizer
from unrolled.data.tokens import TokenizedCorpus, prepare, tokenize
from unrolled.errors import DataError

CORPUS = Corpus("small", "the cat sat on the mat\n" * 4, "the cat saw\n", "a mat sat\n")
SPLITS = ("train", "validation", "test")


def char(**values: Any) -> CharTokenizer:
    return CharTokenizer(name="char", **{"minimum_count": 1, "lowercase": False, **values})


def word(**values: Any) -> WordTokenizer:
    defaults = {
        "vocabulary_size": None, "minimum_count": 1, "strip_html": False, "lowercase": False,
        "punctuation": "keep", "end_of_sentence": True,
    }  # fmt: skip
    return WordTokenizer(name="word", **{**defaults, **values})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that tokenizers were trained on since."""
    seen: list[str] = []
    train = TextTokenizer.train

    def counted(self: TextTokenizer, text: str) -> None:
        seen.append(text)
        train(self, text)

    monkeypatch.setattr(TextTokenizer, "train", counted)
    return seen


def same(one: TokenizedCorpus, other: TokenizedCorpus) -> bool:
    return (
        all(np.array_equal(one.ids[s], other.ids[s]) for s in SPLITS)
        and all(one.ids[s].dtype == other.ids[s].dtype for s in SPLITS)
        and one.tokenizer.to_json() == other.tokenizer.to_json()
        and one.sizes == other.sizes
        and one.fingerprint == other.fingerprint
    )


def test_the_vocabulary_is_of_the_training_split_alone(trainings: list[str]) -> None:
    result = prepare(CORPUS, char(), None)
    assert trainings == [CORPUS.train]
    assert "w" not in [result.tokenizer.token(i) for i in range(result.tokenizer.vocabulary_size)]
    assert result.tokenizer.decode(result.ids["validation"]) == "the cat sa<unk>\n"
    assert result.tokenizer.decode(result.ids["train"]) == CORPUS.train


def test_sizes_say_how_much_and_how_much_of_it_is_unknown() -> None:
    result = prepare(CORPUS, word(), None)
    assert result.sizes == {
        "train": {"tokens": 28, "characters": len(CORPUS.train), "unknown_rate": 0.0},
        "validation": {"tokens": 4, "characters": 12, "unknown_rate": 0.25},
        "test": {"tokens": 4, "characters": 10, "unknown_rate": 0.25},
    }
    # Characters are those of the raw text, whatever a tokenizer makes of it.
    short = prepare(CORPUS, word(strip_html=True, end_of_sentence=False), None)
    assert {s: v["characters"] for s, v in short.sizes.items()} == {
        s: v["characters"] for s, v in result.sizes.items()
    }


def test_the_chance_level_by_hand() -> None:
    corpus = Corpus("x", "aab", "ab", "bcb")
    result = prepare(corpus, char(), None)
    # Counts in training, one added to each: <unk> 0 + 1, a 2 + 1, b 1 + 1, of 6.
    assert result.unigram_perplexity == {
        "validation": pytest.approx(math.exp(-(math.log(3 / 6) + math.log(2 / 6)) / 2)),
        "test": pytest.approx(math.exp(-(2 * math.log(2 / 6) + math.log(1 / 6)) / 3)),
    }


@pytest.mark.parametrize(("letters", "dtype"), [(10, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_ids_are_kept_in_the_smallest_type_that_holds_them(letters: int, dtype: type) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(letters))
    result = prepare(Corpus("x", text, text, text), char(), None)
    assert {ids.dtype for ids in result.ids.values()} == {np.dtype(dtype)}
    assert result.tokenizer.decode(result.ids["test"]) == text


def test_a_cached_text_is_not_tokenized_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(CORPUS, word(lowercase=True), tmp_path / "c")

    def refuse(*args: Any) -> None:
        raise AssertionError("nothing is to be done")

    monkeypatch.setattr(TextTokenizer, "train", refuse)
    monkeypatch.setattr(TextTokenizer, "encode", refuse)
    found = prepare(replace(CORPUS, name="another name"), word(lowercase=True), tmp_path / "c")
    assert same(made, found)
    assert found.name == "another name"
    assert found.unigram_perplexity == made.unigram_perplexity


def test_the_cache_leaves_nothing_else_behind(tmp_path: Path) -> None:
    prepare(CORPUS, word(), tmp_path / "deep" / "cache")
    prepare(CORPUS, word(), tmp_path / "deep" / "cache")
    (entry,) = (tmp_path / "deep" / "cache").iterdir()
    assert sorted(path.name for path in entry.iterdir()) == [
        "manifest.json", "test.npy", "tokenizer.json", "train.npy", "validation.npy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("corpus", "tokenizer"),
    [
        (replace(CORPUS, train=CORPUS.train + "."), word()),
        (replace(CORPUS, validation="the cat saws\n"), word()),
        (replace(CORPUS, test="a mat sat \n"), word()),
        (replace(CORPUS, validation=CORPUS.test, test=CORPUS.validation), word()),
        (CORPUS, word(lowercase=True)),
        (CORPUS, word(minimum_count=2)),
        (CORPUS, word(end_of_sentence=False)),
        (CORPUS, char()),
    ],
)
def test_other_text_or_other_settings_are_another_entry(
    corpus: Corpus, tokenizer: TextTokenizer, tmp_path: Path, trainings: list[str]
) -> None:
    prepare(CORPUS, word(), tmp_path / "c")
    prepare(corpus, tokenizer, tmp_path / "c")
    assert len(trainings) == 2
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_another_format_is_another_entry(
    tmp_path: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(CORPUS, word(), tmp_path / "c")
    monkeypatch.setattr(tokens, "FORMAT", tokens.FORMAT + 1)
    prepare(CORPUS, word(), tmp_path / "c")
    assert len(trainings) == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_text("{}")


def other_json(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", "train.npy", "test.npy"])
@pytest.mark.parametrize("damage", [cut, flip, empty, other_json, Path.unlink])
def test_a_damaged_entry_is_made_again(
    name: str,
    damage: Callable[[Path], None],
    tmp_path: Path,
    trainings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = prepare(CORPUS, word(), tmp_path / "c")
    (entry,) = (tmp_path / "c").iterdir()
    damage(entry / name)
    with caplog.at_level(logging.WARNING):
        again = prepare(CORPUS, word(), tmp_path / "c")
    assert same(made, again)
    assert len(trainings) == 2
    assert f"{entry}: damaged cache entry" in caplog.text
    caplog.clear()
    assert same(made, prepare(CORPUS, word(), tmp_path / "c"))
    assert len(trainings) == 2
    assert not caplog.text


def test_a_whole_entry_with_a_damaged_tokenizer_is_made_again(
    tmp_path: Path, trainings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = prepare(CORPUS, word(), tmp_path / "c")
    (entry,) = (tmp_path / "c").iterdir()
    (entry / "tokenizer.json").write_text("{}")
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["sha256"]["tokenizer.json"] = tokens._digest(entry / "tokenizer.json")
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert same(made, prepare(CORPUS, word(), tmp_path / "c"))
    assert "a stored tokenizer is damaged" in caplog.text


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        result = prepare(CORPUS, word(), tmp_path / "c")
    assert same(result, prepare(CORPUS, word(), None))
    assert f"{tmp_path / 'c'}: tokenized text cannot be cached there" in caplog.text


def test_others_may_read_what_one_has_cached(tmp_path: Path) -> None:
    prepare(CORPUS, char(), tmp_path / "c")
    (entry,) = (tmp_path / "c").iterdir()
    # Whatever the umask leaves to an ordinary folder, the entry has too.
    assert entry.stat().st_mode == (tmp_path / "c").stat().st_mode


def test_a_full_disk_leaves_no_half_of_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **values: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        result = prepare(CORPUS, word(), tmp_path / "c")
    assert "No space left on device" in caplog.text
    assert list((tmp_path / "c").iterdir()) == []
    assert same(result, prepare(CORPUS, word(), tmp_path / "c"))


@pytest.mark.parametrize("moment", ["before the entry", "between the look and the rename"])
def test_of_two_writers_the_first_ones_entry_stays(
    moment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = prepare(CORPUS, word(), tmp_path / "elsewhere")
    (entry,) = (tmp_path / "elsewhere").iterdir()
    overtakings = iter([tmp_path / "c" / entry.name])

    def another_process() -> None:
        for path in overtakings:
            tokens._write(path, first)
            (path / "first").touch()

    if moment == "before the entry":
        train = TextTokenizer.train

        def late(self: TextTokenizer, text: str) -> None:
            train(self, text)
            another_process()

        monkeypatch.setattr(TextTokenizer, "train", late)
    else:
        rename = Path.rename

        def overtaken(self: Path, target: Path) -> Path:
            another_process()
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", overtaken)
    second = prepare(CORPUS, word(), tmp_path / "c")
    assert same(first, second)
    assert [path.name for path in (tmp_path / "c").iterdir()] == [entry.name]
    assert (tmp_path / "c" / entry.name / "first").is_file()
    assert not caplog.text


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    "tokenizer", [word(), word(end_of_sentence=False), char(), word(punctuation="drop")]
)
def test_a_vocabulary_that_covers_nothing_of_a_split(split: str, tokenizer: TextTokenizer) -> None:
    # Line ends and spaces are in every vocabulary, and do not make a text known.
    foreign = replace(CORPUS, **{split: "Καλημέρα κόσμε\n\nκόσμε\n"})
    with pytest.raises(DataError, match=f"covers nothing of the {split} split; is it another"):
        prepare(foreign, tokenizer, None)


def test_nothing_is_left_of_a_split_after_cleaning(tmp_path: Path) -> None:
    marks = replace(CORPUS, test="... !!!\n")
    with pytest.raises(DataError, match="covers nothing of the test split"):
        prepare(marks, word(punctuation="drop"), tmp_path / "c")
    # What cannot be used is not cached.
    assert not (tmp_path / "c").exists()


def test_other_text_with_a_tokenizer_that_is_trained_already(trainings: list[str]) -> None:
    tokenizer = load_tokenizer(prepare(CORPUS, word(), None).tokenizer.to_json())
    other = Corpus("other", "the mat\n", "the dog\n", "a cat\n")
    result = tokenize(other, tokenizer)
    assert len(trainings) == 1
    assert result.fingerprint == other.fingerprint
    assert tokenizer.decode(result.ids["validation"]) == "the <unk>\n"

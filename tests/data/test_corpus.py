import math
from itertools import chain, pairwise

import pytest

from unrolled.data.corpus import Corpus, check_fractions, split_documents
from unrolled.errors import DataError


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_text_is_refused(split: str) -> None:
    texts = {"train": "a", "validation": "b", "test": "c", split: " \n"}
    with pytest.raises(DataError, match=f"dataset=mine: the {split} split has no text; give"):
        Corpus("mine", **texts)


def test_the_fingerprint_is_of_the_text_and_of_how_it_is_divided() -> None:
    fingerprints = {
        Corpus("x", *texts).fingerprint
        for texts in (
            ("one", "two", "three"),
            ("One", "two", "three"),
            ("one", "twO", "three"),
            ("one", "two", "threE"),
            ("two", "one", "three"),
            ("onet", "wo", "three"),
            ("one", "twot", "hree"),
        )
    }
    assert len(fingerprints) == 7


def test_the_fingerprint_is_that_of_the_content_alone() -> None:
    one = Corpus("one", "naïve\n", "b", "c")
    other = Corpus("other", "naïve\n", "b", "c")
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 64
    # Written down, so that a change that would orphan every record and cache does not go unseen.
    assert one.fingerprint.startswith("3c1dcf36bf2c83ee")


@pytest.mark.parametrize("count", [3, 4, 10, 31, 237])
@pytest.mark.parametrize(
    "fractions", [(0.1, 0.1), (0.5, 0.25), (0.8, 0.1), (0.1, 0.8), (0.98, 0.01)]
)
def test_documents_go_to_one_split_each_and_every_split_has_one(
    count: int, fractions: tuple[float, float]
) -> None:
    documents = [f"document {i}" for i in range(count)]
    splits = split_documents(documents, *fractions)
    assert list(splits) == ["train", "validation", "test"]
    assert all(splits.values())
    assert sorted(chain(*splits.values())) == sorted(documents)
    for chosen in splits.values():
        assert chosen == sorted(chosen, key=documents.index)


def test_a_split_is_spread_evenly_over_the_order_of_the_documents() -> None:
    documents = [str(i) for i in range(100)]
    splits = split_documents(documents, 0.1, 0.1)
    for name in ("validation", "test"):
        places = [int(document) for document in splits[name]]
        assert len(places) == 10
        assert all(7 <= later - earlier <= 13 for earlier, later in pairwise(places))


def test_a_fraction_of_zero_takes_no_document() -> None:
    splits = split_documents(["a", "b"], 0.0, 0.1)
    assert (len(splits["train"]), splits["validation"], len(splits["test"])) == (1, [], 1)


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(DataError, match="2 documents cannot be split into 3"):
        split_documents(["a", "b"], 0.1, 0.1)
    with pytest.raises(DataError, match="1 documents cannot be split into 2"):
        split_documents(["a"], 0.1, 0.0)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((-0.1, 0.1), "dataset.validation_fraction=-0.1: must be at least 0"),
        ((0.1, -0.5), "dataset.test_fraction=-0.5: must be at least 0"),
        ((math.nan, 0.1), "dataset.validation_fraction=nan: must be at least 0"),
        ((0.5, 0.5), "leave nothing to train on"),
        ((0.0, 1.0), "leave nothing to train on"),
    ],
)
def test_fractions_that_cannot_be(fractions: tuple[float, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_fractions(*fractions)


def test_fractions_that_can_be() -> None:
    check_fractions(0.0, 0.0)
    check_fractions(0.5, 0.49)

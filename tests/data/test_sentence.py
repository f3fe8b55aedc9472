import pytest

from unrolled.data.sentence import load
from unrolled.errors import DataError


def test_each_split_is_the_whole_text() -> None:
    corpus = load("sentence", "hello world")
    assert corpus.train == corpus.validation == corpus.test == "hello world"


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"dataset\.text: there is no text in it"):
        load("sentence", " \n")

import json
import random
from typing import Any

import numpy as np
import pytest

from unrolled.data import text_tokenizer
from unrolled.data.html import strip_html
from unrolled.data.text_tokenizer import END_OF_SENTENCE, UNKNOWN, TextTokenizer
from unrolled.data.tokenizers import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    WordTokenizer,
    load_tokenizer,
)
from unrolled.errors import DataError

# Characters of one to four bytes, of no width, of several ways to break a line, and the marks that
# the tokenizers use themselves.
TEXT = (
    "Hello wörld! — 日本語 😀 हिन्दी cafe\u0301 €5\n\n"
    "It's <unk> a_b, the the cat. <eos>\tTab\rCR\x0bVT\u2028LS\u00a0NB Ġ Ċ\n"
    "  The end, the end  \n"
)


def char(**values: Any) -> CharTokenizer:
    return CharTokenizer(name="char", **{"minimum_count": 1, "lowercase": False, **values})


def bpe(**values: Any) -> BpeTokenizer:
    defaults = {"vocabulary_size": 300, "minimum_count": 2, "lowercase": False}
    return BpeTokenizer(name="bpe", **{**defaults, **values})


def word(**values: Any) -> WordTokenizer:
    defaults = {
        "vocabulary_size": None, "minimum_count": 1, "strip_html": False, "lowercase": False,
        "punctuation": "keep", "end_of_sentence": True,
    }  # fmt: skip
    return WordTokenizer(name="word", **{**defaults, **values})


def trained(tokenizer: TextTokenizer, text: str = TEXT) -> TextTokenizer:
    tokenizer.train(text)
    return tokenizer


def words(tokenizer: TextTokenizer, text: str) -> list[str]:
    """The tokens of a text, as the vocabulary has them."""
    return [tokenizer.token(int(i)) for i in tokenizer.encode(text)]


def vocabulary(tokenizer: TextTokenizer) -> list[str]:
    return [tokenizer.token(i) for i in range(tokenizer.vocabulary_size)]


ALL: dict[str, TextTokenizer] = {
    "char": char(), "char_lower": char(lowercase=True), "byte": ByteTokenizer(name="byte"),
    "bpe": bpe(), "word": word(), "word_split": word(punctuation="split"),
    "word_drop": word(punctuation="drop", strip_html=True, lowercase=True),
    "word_lines": word(end_of_sentence=False),
}  # fmt: skip


@pytest.fixture(params=list(ALL))
def each(request: pytest.FixtureRequest) -> TextTokenizer:
    return trained(ALL[request.param], TEXT * 3)


@pytest.mark.parametrize("tokenizer", [char(), ByteTokenizer(name="byte"), bpe()])
def test_text_comes_back_as_it_was(tokenizer: TextTokenizer) -> None:
    trained(tokenizer)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.decode(tokenizer.encode_prompt(TEXT)) == TEXT


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(name="byte"), bpe()])
def test_bytes_know_every_text(tokenizer: TextTokenizer) -> None:
    trained(tokenizer, "plain text\n")
    assert tokenizer.unknown_id is None
    assert tokenizer.unknown_pieces(TEXT) == []
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_bytes_are_those_of_utf8() -> None:
    tokenizer = trained(ByteTokenizer(name="byte"))
    assert tokenizer.vocabulary_size == 256
    assert len(tokenizer.encode(TEXT)) == len(TEXT.encode())


def test_characters_that_training_lacks_are_unknown() -> None:
    tokenizer = trained(char(), "abab\n")
    assert vocabulary(tokenizer) == [UNKNOWN, "\n", "a", "b"]
    assert tokenizer.encode("abc\nd").tolist() == [2, 3, 0, 1, 0]
    assert tokenizer.unknown_id == 0
    assert tokenizer.unknown_pieces("cabdc") == ["c", "d"]


def test_rare_characters_are_left_out_and_case_is_folded_first() -> None:
    tokenizer = trained(char(minimum_count=2, lowercase=True), "aAbcC")
    assert vocabulary(tokenizer) == [UNKNOWN, "a", "c"]
    assert tokenizer.encode("AbC").tolist() == [1, 0, 2]
    assert tokenizer.unknown_pieces("ABC") == ["b"]


def test_the_mark_for_unknown_is_ordinary_text_to_characters() -> None:
    tokenizer = trained(char(), "<unk>")
    assert words(tokenizer, "<unk>") == list("<unk>")


def test_the_same_text_gives_the_same_vocabulary_in_the_same_order(each: TextTokenizer) -> None:
    once = vocabulary(each)
    assert vocabulary(trained(each, TEXT * 3)) == once
    again = trained(load_tokenizer(each.to_json()), TEXT * 3)
    assert vocabulary(again) == once


def test_words_are_in_order_of_frequency_then_of_spelling() -> None:
    tokenizer = trained(word(), "d a c\nc b c a\n")
    assert vocabulary(tokenizer) == [UNKNOWN, END_OF_SENTENCE, "c", "a", "b", "d"]


def test_counts_of_a_text_that_is_tokenized_already() -> None:
    lines = [" the <unk> sat on N mats ", " ", " <unk> and the cat ", "$ N.N million"]
    text = "\n".join(lines) + "\n"
    tokenizer = trained(word(), text)
    apart = [w for line in lines for w in line.split()]
    assert len(tokenizer.encode(text)) == len(apart) + len(lines)
    # The text's own <unk> is the special token, not a second one; each word counts, and <eos>.
    assert tokenizer.vocabulary_size == len(set(apart)) + 1
    assert words(tokenizer, text)[:9] == [
        *lines[0].split(),
        END_OF_SENTENCE,
        END_OF_SENTENCE,
        UNKNOWN,
    ]
    assert tokenizer.unknown_pieces("<unk> the dog <eos>") == ["dog"]
    # With no line end after the last line the counts are the same.
    assert np.array_equal(tokenizer.encode(text), tokenizer.encode(text.removesuffix("\n")))


def test_only_line_breaks_end_a_sentence() -> None:
    tokenizer = trained(word(), "a\x0bb\u2028c\x0cd\n\n")
    assert words(tokenizer, "a\x0bb\u2028c\x0cd\n\n") == [
        *"abcd",
        END_OF_SENTENCE,
        END_OF_SENTENCE,
    ]


def test_without_ends_of_sentences() -> None:
    tokenizer = trained(word(end_of_sentence=False), "a b\n\nc\n")
    assert words(tokenizer, "a b\n\nc\n") == ["a", "b", "c"]
    assert tokenizer.end_of_sentence_id is None
    assert vocabulary(tokenizer) == [UNKNOWN, "a", "b", "c"]
    assert tokenizer.decode(tokenizer.encode("a b\n\nc\n")) == "a b c"


@pytest.mark.parametrize(
    ("punctuation", "expected"),
    [
        ("keep", ["It's", "a_b,", "(don't)", "<unk>,", "x"]),
        ("split", ["It", "'", "s", "a_b", ",", "(", "don", "'", "t", ")", "<unk>", ",", "x"]),
        ("drop", ["It", "s", "a", "b", "don", "t", "<unk>", "x"]),
    ],
)
def test_punctuation(punctuation: str, expected: list[str]) -> None:
    text = "It's a_b, (don't) <unk>, x\n"
    tokenizer = trained(word(punctuation=punctuation), text)
    assert words(tokenizer, text) == [*expected, END_OF_SENTENCE]


@pytest.mark.parametrize("punctuation", ["keep", "split", "drop"])
def test_words_of_other_scripts_stay_whole(punctuation: str) -> None:
    # Vowel signs and combining accents belong to their letters.
    text = "हिन्दी cafe\u0301 日本語 naïve"
    tokenizer = trained(word(punctuation=punctuation, end_of_sentence=False), text)
    assert words(tokenizer, text) == text.split()


def test_html_and_case() -> None:
    text = (
        "<p>The <b>CAT</b> &amp; dog<br/>sat</p><script>if (a < b) run()</script> end\n<i>Too</i>"
    )
    tokenizer = trained(word(strip_html=True, lowercase=True), text)
    first, second = ["the", "cat", "&", "dog", "sat", "end"], ["too"]
    assert words(tokenizer, text) == [*first, END_OF_SENTENCE, *second, END_OF_SENTENCE]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a<br>b", "a b"),
        ("caf&eacute; &#8364;5", "café €5"),
        # Once: what is escaped twice was about an entity.
        ("&amp;lt; &lt;b&gt;", "&lt; <b>"),
        ("<style>p {}</style>a<script src='x'>b</script>c", "a c"),
        ("1 < 2 and 3<4", "1 < 2 and 3<4"),
        ("a <!-- hidden --> b", "a b"),
        ("a <a href='x>y'>link</a>", "a link"),
        ("AT&T", "AT&T"),
    ],
)
def test_strip_html(markup: str, text: str) -> None:
    assert strip_html(markup).split() == text.split()


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        (None, 1, ["a", "b", "c", "d"]),
        (4, 1, ["a", "b"]),
        (5, 2, ["a", "b"]),
        (100, 3, ["a"]),
    ],
)
def test_size_and_minimum_count(size: int | None, count: int, expected: list[str]) -> None:
    text = "a a a <unk> <unk>\nb b c d\n"
    tokenizer = trained(word(vocabulary_size=size, minimum_count=count), text)
    # The special tokens count as part of the size.
    assert vocabulary(tokenizer) == [UNKNOWN, END_OF_SENTENCE, *expected]
    plain = trained(word(vocabulary_size=size, minimum_count=count, end_of_sentence=False), text)
    assert plain.vocabulary_size <= (size or 100)


@pytest.mark.parametrize(
    "tokenizer",
    [
        word(vocabulary_size=2),
        word(minimum_count=50),
        char(minimum_count=50),
        word(end_of_sentence=False, vocabulary_size=1),
    ],
)
def test_a_vocabulary_that_covers_nothing(tokenizer: TextTokenizer) -> None:
    # Blank lines and spaces in plenty: they are nothing to learn from.
    with pytest.raises(DataError, match=r"the vocabulary covers nothing; .*minimum_count"):
        tokenizer.train("a b c\n" + "\n \n" * 50)


def test_pairs_have_the_size_asked_for() -> None:
    text = "the theme of the other theory\n" * 20
    tokenizer = trained(bpe(vocabulary_size=262), text)
    assert tokenizer.vocabulary_size == 262
    assert len(tokenizer.encode(text)) < len(text)
    assert trained(bpe(vocabulary_size=256), text).vocabulary_size == 256
    assert trained(bpe(minimum_count=1000), text).vocabulary_size == 256
    assert trained(bpe(lowercase=True), "ABC").decode(tokenizer.encode("abc")) == "abc"
    with pytest.raises(DataError, match=r"tokenizer.vocabulary_size=255: .* at least 256"):
        bpe(vocabulary_size=255)


def test_a_stream_adds_up_to_the_decoded_text(each: TextTokenizer) -> None:
    ids = each.encode(TEXT).tolist()
    add = each.stream()
    pieces = [add(i) for i in ids]
    assert "".join(pieces) == each.decode(ids)
    # Half a character is never shown.
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_stream_of_any_tokens(each: TextTokenizer) -> None:
    chooser = random.Random(0)
    for _ in range(50):
        ids = [chooser.randrange(each.vocabulary_size) for _ in range(20)]
        add = each.stream()
        streamed, whole = "".join(add(i) for i in ids), each.decode(ids)
        assert whole.startswith(streamed)
        # What is left over can only be a token that ends within a character.
        assert whole == streamed or whole.endswith("\ufffd")


def test_two_streams_do_not_mix() -> None:
    tokenizer = trained(ByteTokenizer(name="byte"))
    euro, a = tokenizer.encode("€").tolist(), tokenizer.encode("a").tolist()
    one, other = tokenizer.stream(), tokenizer.stream()
    assert [one(euro[0]), other(a[0]), one(euro[1]), other(a[0]), one(euro[2])] == [
        "", "a", "", "a", "€",
    ]  # fmt: skip


def test_what_precedes_a_text() -> None:
    text = "a b\n"
    assert trained(word(), text).token(trained(word(), text).start_id) == END_OF_SENTENCE
    for tokenizer in (char(), ByteTokenizer(name="byte"), bpe()):
        trained(tokenizer, text)
        assert tokenizer.decode([tokenizer.start_id]) == "\n"
    without = trained(char(), "ab")
    assert without.start_id == without.unknown_id
    assert trained(word(end_of_sentence=False), text).start_id == 0


@pytest.mark.parametrize("piece", [1, 7, 60])
def test_text_goes_through_in_pieces_of_any_size(
    each: TextTokenizer, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = each.encode(TEXT)
    assert whole.dtype == np.int32
    monkeypatch.setattr(text_tokenizer, "PIECE", piece)
    assert np.array_equal(each.encode(TEXT), whole)
    assert len(each.encode("")) <= 1


@pytest.mark.parametrize("longest", [1, 2, 9, 40])
@pytest.mark.parametrize("name", ALL)
def test_a_long_line_has_the_tokens_of_the_whole(
    name: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(longest)
    characters = "ab é日1,.'<>_  \t\u00a0\x1c\x85\u3000\n" + "\U0001f600"
    noise = "".join(rng.choice(characters) for _ in range(3000))
    text = TEXT * 3 + TEXT.replace("\n", " ") * 3 + noise
    whole = trained(ALL[name], text)
    ids, tokens = whole.encode(text), vocabulary(whole)
    monkeypatch.setattr(text_tokenizer, "LONGEST", longest)
    cut = trained(ALL[name], text)
    assert vocabulary(cut) == tokens
    assert np.array_equal(cut.encode(text), ids)


def test_a_text_of_one_line_goes_through_in_pieces(
    each: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tokenizer, "LONGEST", 50)
    line = "some words in a row " * 100
    pieces = list(each._pieces(each._lines(line)))
    # A cut between words waits for the end of the word, or for the one before <eos>.
    assert max(map(len, pieces)) <= 50 + len(f" words {END_OF_SENTENCE}")
    assert "".join(pieces).startswith(line.rstrip())


def test_a_prompt_goes_on_where_it_stops() -> None:
    tokenizer = trained(word(), "a b\nc\n")
    tokens = [tokenizer.token(int(i)) for i in tokenizer.encode_prompt("a b\nc")]
    assert tokens == ["a", "b", END_OF_SENTENCE, "c"]
    assert tokenizer.encode_prompt("c\n").tolist() == tokenizer.encode("c\n").tolist()
    assert tokenizer.encode_prompt("").tolist() == []
    assert tokenizer.decode(tokenizer.encode("a b\n\nc")) == "a b\n\nc\n"


def test_what_a_prompt_is_cleaned_of_is_not_unknown() -> None:
    tokenizer = trained(word(strip_html=True, lowercase=True, punctuation="drop"), "the cat sat")
    assert tokenizer.unknown_pieces("<b>The</b> CAT, dog!") == ["dog"]


def test_a_tokenizer_is_stored_whole(each: TextTokenizer) -> None:
    loaded = load_tokenizer(each.to_json())
    assert type(loaded) is type(each)
    assert loaded.settings == each.settings
    assert np.array_equal(loaded.encode(TEXT), each.encode(TEXT))
    assert loaded.decode(each.encode(TEXT)) == each.decode(each.encode(TEXT))
    assert (loaded.start_id, loaded.unknown_id) == (each.start_id, each.unknown_id)
    assert loaded.to_json() == each.to_json()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: content[:-20],
        lambda content: "[1, 2]",
        lambda content: json.dumps({**json.loads(content), "kind": "syllable"}),
        lambda content: json.dumps({**json.loads(content), "settings": {"unheard_of": 1}}),
        lambda content: json.dumps({**json.loads(content), "tokenizer": {"model": 1}}),
        lambda content: json.dumps({"kind": "char"}),
    ],
)
def test_a_damaged_stored_tokenizer(damage: Any) -> None:
    with pytest.raises(DataError, match="a stored tokenizer is damaged"):
        load_tokenizer(damage(trained(char()).to_json()))


@pytest.mark.parametrize("mark", ["\x1c", "\x1f", "\x85", "\xa0", "\u2028", "\u3000", "\u200b"])
def test_words_are_cut_where_the_library_cuts_whatever_the_space(mark: str) -> None:
    from tokenizers import pre_tokenizers

    line = f"one{mark}two one  three"
    made = WordTokenizer(
        name="word", vocabulary_size=None, minimum_count=1, strip_html=False, lowercase=False,
        punctuation="keep", end_of_sentence=True,
    )  # fmt: skip
    made.train(line)
    words = [word for word, _ in pre_tokenizers.WhitespaceSplit().pre_tokenize_str(line)]
    assert [made.token(int(i)) for i in made.encode(line)] == [*words, END_OF_SENTENCE]

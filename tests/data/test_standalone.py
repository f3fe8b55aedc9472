"""A tokenizer's own file gives the ids that the tokenizer gives."""

from typing import Literal

import pytest
from tokenizers import Tokenizer

from unrolled.data.standalone import first_difference, standalone
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import BpeTokenizer, ByteTokenizer, CharTokenizer, WordTokenizer

TEXT = (
    "Hello <b>World</b> <br/> a<b & c &amp; d. &quot;x&quot;\n\n\n  two  spaces\n\tTab\r\nCRLF"
    "\x0bvt\x0cff\x1cfs x\x85nel\u2028ls\n \n <unk> <eos> ΑΣ Σ İstanbul don't it's 'tis 12,000 "
    "$3.50 — “quoted” नमस्ते 日本語 😀\n\n end  \n"
)
TEXTS = [TEXT, TEXT.rstrip("\n"), "\n", "\nfoo", "", "foo\n\n", "x  \n\n\n\ny"]
Punctuation = Literal["keep", "split", "drop"]


def word(punctuation: Punctuation, ends: bool, html: bool, lowercase: bool) -> WordTokenizer:
    return WordTokenizer(
        name="word",
        vocabulary_size=None,
        minimum_count=1,
        strip_html=html,
        lowercase=lowercase,
        punctuation=punctuation,
        end_of_sentence=ends,
    )


def bpe(lowercase: bool) -> BpeTokenizer:
    return BpeTokenizer(name="bpe", vocabulary_size=300, minimum_count=2, lowercase=lowercase)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "tokenizer",
    [
        CharTokenizer(name="char", minimum_count=1, lowercase=False),
        CharTokenizer(name="char", minimum_count=1, lowercase=True),
        ByteTokenizer(name="byte"),
        bpe(False),
        bpe(True),
        *(
            word(punctuation, ends, html, lowercase)
            for punctuation in ("keep", "split", "drop")
            for ends in (True, False)
            for html, lowercase in ((False, False), (True, True))
        ),
    ],
    ids=lambda one: f"{one.kind} {one.settings}" if isinstance(one, TextTokenizer) else str(one),
)
def test_the_file_gives_the_same_ids(tokenizer: TextTokenizer, whole: bool) -> None:
    tokenizer.train(TEXT * 3 + "Hello world a b c d\n" * 5)
    library = Tokenizer.from_str(standalone(tokenizer, whole=whole).to_str())
    for text in TEXTS:
        assert not first_difference(tokenizer, library, text, whole=whole)


def test_html_that_patterns_do_not_know_is_said_with_its_place() -> None:
    tokenizer = word("split", True, True, True)
    tokenizer.train("a b é eacute\n")
    library = standalone(tokenizer, whole=True)
    said = first_difference(tokenizer, library, "a &eacute; b", whole=True)
    assert said.startswith("token 2 is 'é' here and '<unk>' there, near 'a &eacute;")

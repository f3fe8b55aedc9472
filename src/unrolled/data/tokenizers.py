"""Tokenizers, on the ``tokenizers`` library, trained on the training split alone.

To add one, subclass ``TextTokenizer``, write ``_train``, and point a YAML in ``conf/tokenizer`` at
it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from unrolled.data.html import strip_html
from unrolled.data.text_tokenizer import END_OF_SENTENCE, UNKNOWN, TextTokenizer
from unrolled.errors import DataError


class CharTokenizer(TextTokenizer):
    """One token a character, line breaks too."""

    kind = "char"
    cuts_anywhere = True

    def __init__(self, *, name: str, minimum_count: int, lowercase: bool) -> None:
        super().__init__(minimum_count=minimum_count, lowercase=lowercase)

    def _train(self, text: str) -> Tokenizer:
        counts = Counter(self._clean(text))
        kept = sorted(c for c, n in counts.items() if n >= self.settings["minimum_count"])
        vocabulary = {token: index for index, token in enumerate([UNKNOWN, *kept])}
        # Byte pair encoding without a merge leaves single characters, and is the library's fastest
        # way.
        tokenizer = Tokenizer(
            models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN, cache_capacity=0)
        )
        tokenizer.decoder = decoders.Fuse()
        return tokenizer

    def unknown_pieces(self, text: str) -> list[str]:
        return [c for c in dict.fromkeys(self._clean(text)) if self._id(c) is None]


class ByteTokenizer(TextTokenizer):
    """One token a byte of UTF-8."""

    kind = "byte"
    cuts_anywhere = True

    def __init__(self, *, name: str) -> None:
        super().__init__()

    def _train(self, text: str) -> Tokenizer:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {token: index for index, token in enumerate(alphabet)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], cache_capacity=0))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer


class BpeTokenizer(TextTokenizer):
    """Byte-level byte pair encoding (Sennrich et al. 2016; Radford et al. 2019)."""

    kind = "bpe"

    def __init__(
        self, *, name: str, vocabulary_size: int, minimum_count: int, lowercase: bool
    ) -> None:
        if vocabulary_size < 256:
            raise DataError(
                f"tokenizer.vocabulary_size={vocabulary_size}: byte-level byte pair encoding has "
                "the 256 bytes in its vocabulary; ask for at least 256"
            )
        super().__init__(
            vocabulary_size=vocabulary_size, minimum_count=minimum_count, lowercase=lowercase
        )

    def _train(self, text: str) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.settings["vocabulary_size"],
            min_frequency=self.settings["minimum_count"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(self._pieces(self._lines(text)), trainer)
        return tokenizer


class WordTokenizer(TextTokenizer):
    """One token a word, and ``<eos>`` at the end of each line, blank lines too.

    That is how the published counts of Penn Treebank and WikiText come about. A ``<unk>`` or
    ``<eos>`` that stands in the text is the special token.
    """

    kind = "word"

    def __init__(
        self,
        *,
        name: str,
        vocabulary_size: int | None,
        minimum_count: int,
        strip_html: bool,
        lowercase: bool,
        punctuation: Literal["keep", "split", "drop"],
        end_of_sentence: bool,
    ) -> None:
        super().__init__(
            vocabulary_size=vocabulary_size,
            minimum_count=minimum_count,
            strip_html=strip_html,
            lowercase=lowercase,
            punctuation=punctuation,
            end_of_sentence=end_of_sentence,
        )

    @property
    def _specials(self) -> list[str]:
        return [UNKNOWN, END_OF_SENTENCE] if self.settings["end_of_sentence"] else [UNKNOWN]

    def _train(self, text: str) -> Tokenizer:
        cut = self._cutter()
        counts: Counter[str] = Counter()
        for line in self._pieces(self._lines(text)):
            counts.update(word for word, _ in cut.pre_tokenize_str(line))
        specials = self._specials
        words = [
            word
            for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            if count >= self.settings["minimum_count"] and word not in specials
        ]
        size = self.settings["vocabulary_size"]
        if size is not None:
            words = words[: max(0, size - len(specials))]
        vocabulary = {token: index for index, token in enumerate([*specials, *words])}
        tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = cut
        return tokenizer

    def _cutter(self) -> Any:
        if self.settings["punctuation"] == "keep":
            return pre_tokenizers.WhitespaceSplit()
        # What matches is a token and what does not is dropped: the special tokens, words, single
        # marks. The library's \w has the vowel signs of Indic scripts, which Python's lacks.
        words = r"\w+|[^\w\s]" if self.settings["punctuation"] == "split" else r"[^\W_]+"
        pattern = f"{UNKNOWN}|{END_OF_SENTENCE}|{words}"
        return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)

    def _clean(self, text: str) -> str:
        return super()._clean(strip_html(text) if self.settings["strip_html"] else text)

    def _lines(self, text: str) -> Iterator[str]:
        if not self.settings["end_of_sentence"]:
            yield from super()._lines(text)
            return
        # Not splitlines(), which also cuts at form feeds and other marks within a line.
        for line in self._clean(text).removesuffix("\n").split("\n"):
            yield f"{line} {END_OF_SENTENCE}"

    def encode_prompt(self, text: str) -> npt.NDArray[np.int32]:
        lines = self._clean(text).split("\n")
        if self.settings["end_of_sentence"]:
            lines[:-1] = [f"{line} {END_OF_SENTENCE}" for line in lines[:-1]]
        return self._encode_lines(iter(lines))

    def decode(self, ids: Any) -> str:
        add = self.stream()
        return "".join(add(int(i)) for i in ids)

    def stream(self) -> Callable[[int], str]:
        at_line_start = True

        def add(index: int) -> str:
            nonlocal at_line_start
            token = self.token(index)
            if token == END_OF_SENTENCE and self.settings["end_of_sentence"]:
                at_line_start = True
                return "\n"
            text = token if at_line_start else f" {token}"
            at_line_start = False
            return text

        return add

    def unknown_pieces(self, text: str) -> list[str]:
        words = self._cutter().pre_tokenize_str(self._clean(text))
        return [word for word in dict.fromkeys(w for w, _ in words) if self._id(word) is None]


KINDS: dict[str, type[TextTokenizer]] = {
    kind.kind: kind for kind in (CharTokenizer, ByteTokenizer, WordTokenizer, BpeTokenizer)
}


def load_tokenizer(text: str) -> TextTokenizer:
    """The tokenizer that ``to_json`` wrote.

    Raises:
        DataError: it is not one.
    """
    try:
        content = json.loads(text)
        tokenizer = KINDS[content["kind"]](name=content["kind"], **content["settings"])
        stored = json.dumps(content["tokenizer"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"a stored tokenizer is damaged ({error})") from error
    try:
        tokenizer.library = Tokenizer.from_str(stored)
    # The library has no narrower type for this.
    except Exception as error:
        raise DataError(f"a stored tokenizer is damaged ({error})") from error
    return tokenizer

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
from unrolled.data.text_tokenizer import END_OF_SENTENCE, UNKNOWN, TextTokenizer, batches
from unrolled.errors import DataError

# What Python takes for a space, and the library for a part of a word.
SEPARATORS = "\x1c\x1d\x1e\x1f"


class CharTokenizer(TextTokenizer):
    """One token a character, line breaks too."""

    kind = "char"
    cuts_anywhere = True

    def __init__(self, *, name: str, minimum_count: int, lowercase: bool) -> None:
        super().__init__(minimum_count=minimum_count, lowercase=lowercase)

    def _train(self, text: str) -> Tokenizer:
        return self._fit(self.count(text))

    def count(self, text: str) -> Counter[str]:
        return Counter(self._clean(text))

    def _fit(self, counts: Counter[str]) -> Tokenizer:
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
        return self._train_on(iter(()))

    def _train_on(self, chunks: Iterator[str]) -> Tokenizer:
        # The vocabulary is the bytes, whatever the text.
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
        return self._train_on(iter([text]))

    def _train_on(self, chunks: Iterator[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.settings["vocabulary_size"],
            min_frequency=self.settings["minimum_count"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        pieces = (piece for text in chunks for piece in self._pieces(self._lines(text)))
        tokenizer.train_from_iterator(pieces, trainer)
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
        self._words: tuple[Tokenizer | None, dict[str, int]] | None = None

    @property
    def _specials(self) -> list[str]:
        return [UNKNOWN, END_OF_SENTENCE] if self.settings["end_of_sentence"] else [UNKNOWN]

    def _train(self, text: str) -> Tokenizer:
        return self._fit(self.count(text))

    def _splits_as_python(self, text: str) -> bool:
        """Whether ``str.split`` cuts as the library does, in a tenth of its time."""
        return self.settings["punctuation"] == "keep" and not any(
            mark in text for mark in SEPARATORS
        )

    def count(self, text: str) -> Counter[str]:
        cut = self._cutter()
        counts: Counter[str] = Counter()
        if self._splits_as_python(text):
            for batch in batches(self._lines(text)):
                counts.update("\n".join(batch).split())
            return counts
        for line in self._pieces(self._lines(text)):
            counts.update(word for word, _ in cut.pre_tokenize_str(line))
        return counts

    def _fit(self, counts: Counter[str]) -> Tokenizer:
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
        tokenizer.pre_tokenizer = self._cutter()
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

    def _encode_lines(self, lines: Iterator[str]) -> npt.NDArray[np.int32]:
        if self.settings["punctuation"] != "keep":
            return super()._encode_lines(lines)
        vocabulary, unknown = self._ids_of_words(), self.unknown_id
        pieces = [np.zeros(0, dtype=np.int32)]
        for batch in batches(lines):
            text = "\n".join(batch)
            if self._splits_as_python(text):
                words = text.split()
                ids = (vocabulary.get(word, unknown) for word in words)
                pieces.append(np.fromiter(ids, dtype=np.int32, count=len(words)))
            else:
                pieces.append(super()._encode_lines(iter(batch)))
        return np.concatenate(pieces)

    def _ids_of_words(self) -> dict[str, int]:
        if self._words is None or self._words[0] is not self.library:
            self._words = self.library, self._tokenizer.get_vocab()
        return self._words[1]

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

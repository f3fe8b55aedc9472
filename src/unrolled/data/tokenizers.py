"""Tokenizers, on the ``tokenizers`` library, trained on the training split alone.

To add one, subclass ``TextTokenizer``, write ``_train``, and point a YAML in ``conf/tokenizer`` at
it.
"""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.decoders import DecodeStream

from unrolled.errors import DataError

UNKNOWN = "<unk>"
END_OF_SENTENCE = "<eos>"
# The library's encodings take about 100 bytes a token, so text goes through it in pieces of this
# many characters, cut at line ends.
PIECE = 1 << 20


class TextTokenizer(ABC):
    """Text to ids and back.

    Attributes:
        settings: what the configuration gave, by which a cache knows the tokenizer.
    """

    kind: ClassVar[str]

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.library: Tokenizer | None = None

    def train(self, text: str) -> None:
        """Fit the vocabulary to the training split's text.

        Raises:
            DataError: the vocabulary would cover nothing.
        """
        self.library = self._train(text)
        if len(self.blank_ids) == self.vocabulary_size:
            raise DataError(
                f"tokenizer={self.kind}: the vocabulary covers nothing; no token of the training "
                "split is kept with these settings, so lower tokenizer.minimum_count or raise "
                "tokenizer.vocabulary_size"
            )

    @abstractmethod
    def _train(self, text: str) -> Tokenizer:
        """The library's tokenizer, fitted to ``text``."""

    def _clean(self, text: str) -> str:
        """What is done to text before it is cut into tokens."""
        return text.lower() if self.settings.get("lowercase") else text

    def _lines(self, text: str) -> Iterator[str]:
        """Cleaned text in lines, their ends kept; tokens never cross a line's end."""
        yield from self._clean(text).splitlines(keepends=True)

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.library is None:
            raise RuntimeError("the tokenizer is not trained yet")
        return self.library

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """The ids ``[tokens]`` of a split's text."""
        return self._encode_lines(self._lines(text))

    def encode_prompt(self, text: str) -> npt.NDArray[np.int32]:
        """The ids of a text that goes on: as ``encode``, without an end of sentence at its end."""
        return self.encode(text)

    def _encode_lines(self, lines: Iterator[str]) -> npt.NDArray[np.int32]:
        pieces = [np.zeros(0, dtype=np.int32)]
        for batch in _batches(lines):
            for encoding in self._tokenizer.encode_batch_fast(batch):
                pieces.append(np.array(encoding.ids, dtype=np.int32))
        return np.concatenate(pieces)

    def decode(self, ids: Any) -> str:
        """The text of some ids."""
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))

    def stream(self) -> Callable[[int], str]:
        """A function from each next id to the text that it adds; "" while a character is
        incomplete."""
        decoder = DecodeStream(skip_special_tokens=False)
        return lambda token: decoder.step(self._tokenizer, token) or ""

    def token(self, index: int) -> str:
        """The token of an id, as the vocabulary has it."""
        return str(self._tokenizer.id_to_token(index))

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    @property
    def unknown_id(self) -> int | None:
        """What stands for a token outside the vocabulary; None where there is no such token."""
        return self._id(UNKNOWN)

    @property
    def end_of_sentence_id(self) -> int | None:
        return self._id(END_OF_SENTENCE)

    @property
    def start_id(self) -> int:
        """What precedes a text, so that its first token is predicted too.

        The end of a sentence where there is one, else a line break, else the unknown token, else
        0.
        """
        for found in (self.end_of_sentence_id, self._id("\n"), self._id("Ċ"), self.unknown_id):
            if found is not None:
                return found
        return 0

    @property
    def blank_ids(self) -> list[int]:
        """The special tokens, spaces and line breaks: what texts of any two languages share."""
        tokens = ((index, self.token(index)) for index in range(self.vocabulary_size))
        return [i for i, t in tokens if t in (UNKNOWN, END_OF_SENTENCE) or t.isspace()]

    def unknown_pieces(self, text: str) -> list[str]:
        """What of a prompt is outside the vocabulary, each once."""
        return []

    def _id(self, token: str) -> int | None:
        found = self._tokenizer.token_to_id(token)
        return None if found is None else int(found)

    def to_json(self) -> str:
        """Everything that ``load_tokenizer`` needs."""
        return json.dumps(
            {
                "kind": self.kind,
                "settings": self.settings,
                "tokenizer": json.loads(self._tokenizer.to_str()),
            },
            ensure_ascii=False,
        )


class CharTokenizer(TextTokenizer):
    """One token a character, line breaks too."""

    kind = "char"

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
        tokenizer.train_from_iterator(self._lines(text), trainer)
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
        punctuation: str,
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
        for line in self._lines(text):
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


def strip_html(text: str) -> str:
    """The text between the tags, without scripts and styles, its entities resolved."""
    stripper = _TextBetweenTags()
    stripper.feed(text)
    stripper.close()
    return "".join(stripper.parts)


class _TextBetweenTags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        # <br>, </p> and the like separate words.
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in ("script", "style")))
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= PIECE:
            yield batch
            batch, size = [], 0
    yield batch

"""What a tokenizer is: text to ids and back, on the ``tokenizers`` library."""

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from unrolled.errors import DataError

UNKNOWN = "<unk>"
END_OF_SENTENCE = "<eos>"
# The library's encodings take about 100 bytes a token, so text goes through it in pieces of this
# many characters, cut at line ends.
PIECE = 1 << 20
# Some corpora are one line; longer lines than this are cut where no token crosses the cut.
LONGEST = 1 << 16
# No tokenizer here lets a space follow a visible character within a token.
BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")


class TextTokenizer(ABC):
    """Text to ids and back.

    Attributes:
        settings: what the configuration gave, by which a cache knows the tokenizer.
    """

    kind: ClassVar[str]
    # Whether a line can be cut anywhere, or only between words.
    cuts_anywhere: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.library: Tokenizer | None = None

    def train(self, text: str) -> None:
        """Fit the vocabulary to the training split's text.

        Raises:
            DataError: the vocabulary would cover nothing.
        """
        self._use(self._train(text))

    @property
    def counts_pieces(self) -> bool:
        """Whether the vocabulary follows from ``count`` of the text's chunks, added up."""
        return type(self).count is not TextTokenizer.count

    def count(self, text: str) -> Counter[str]:
        """What the vocabulary is made of, and how often each occurs in a chunk of the text."""
        raise NotImplementedError

    def train_on_counts(self, counts: Counter[str]) -> None:
        """As ``train``, from the counts of all chunks of the text.

        Raises:
            DataError: as ``train``.
        """
        self._use(self._fit(counts))

    def train_on_chunks(self, chunks: Iterator[str]) -> None:
        """As ``train``, from the chunks of the text.

        Raises:
            DataError: as ``train``.
        """
        self._use(self._train_on(chunks))

    def encode_chunk(self, text: str, goes_on: bool) -> npt.NDArray[np.int32]:
        """The ids ``[tokens]`` of a chunk of a text (``chunks.chunks``).

        Args:
            goes_on: whether the chunk's last line does in the next one.
        """
        return self.encode_prompt(text) if goes_on else self.encode(text)

    def _use(self, library: Tokenizer) -> None:
        self.library = library
        if len(self.blank_ids) == self.vocabulary_size:
            raise DataError(
                f"tokenizer={self.kind}: the vocabulary covers nothing; no token of the training "
                "split is kept with these settings, so lower tokenizer.minimum_count or raise "
                "tokenizer.vocabulary_size"
            )

    @abstractmethod
    def _train(self, text: str) -> Tokenizer:
        """The library's tokenizer, fitted to ``text``."""

    def _fit(self, counts: Counter[str]) -> Tokenizer:
        """The library's tokenizer, from the counts of the training split."""
        raise NotImplementedError

    def _train_on(self, chunks: Iterator[str]) -> Tokenizer:
        """The library's tokenizer, fitted to a text in chunks; this one holds it whole."""
        return self._train("".join(chunks))

    def _clean(self, text: str) -> str:
        """What is done to text before it is cut into tokens."""
        return text.lower() if self.settings.get("lowercase") else text

    def _lines(self, text: str) -> Iterator[str]:
        """Cleaned text in lines, their ends kept; tokens never cross a line's end."""
        yield from self._clean(text).splitlines(keepends=True)

    def _pieces(self, lines: Iterator[str]) -> Iterator[str]:
        """The lines, long ones cut into pieces that have the tokens of the whole."""
        for line in lines:
            start = 0
            while len(line) - start > LONGEST:
                end = start + LONGEST
                if not self.cuts_anywhere:
                    found = BETWEEN_WORDS.search(line, end)
                    if found is None:
                        break
                    end = found.start()
                yield line[start:end]
                start = end
            yield line[start:] if start else line

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
        for batch in batches(self._pieces(lines)):
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

    @property
    def line_end_ids(self) -> list[int]:
        """The tokens that end a line: the end of a sentence, or what ends with a line break."""
        return [i for i in range(self.vocabulary_size) if self.decode([i]).endswith("\n")]

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


def batches(lines: Iterator[str]) -> Iterator[list[str]]:
    """Lines in lists of about ``PIECE`` characters."""
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= PIECE:
            yield batch
            batch, size = [], 0
    yield batch

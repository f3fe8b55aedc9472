"""A corpus: raw text in three splits, and the fingerprint of exactly that text."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from unrolled.errors import DataError

SPLITS = ("train", "validation", "test")

Document = TypeVar("Document")


@dataclass(frozen=True)
class Corpus:
    """Running text in three splits.

    Raises:
        DataError: a split has no text.
    """

    name: str
    train: str
    validation: str
    test: str

    def __post_init__(self) -> None:
        for split in SPLITS:
            require_text(self.name, split, bool(self.split(split).strip()))

    def split(self, name: str) -> str:
        """The text of ``train``, ``validation`` or ``test``."""
        text = getattr(self, name)
        assert isinstance(text, str)
        return text

    def blocks(self, name: str) -> Iterator[str]:
        """The text of a split in pieces, of which a corpus in memory has one."""
        yield self.split(name)

    def opening(self, name: str, characters: int) -> str:
        """The first characters of a split."""
        text = ""
        for block in self.blocks(name):
            text += block[: characters - len(text)]
            if len(text) == characters:
                break
        return text

    def characters(self, name: str) -> int:
        """How many characters a split has."""
        return len(self.split(name))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the three texts; their lengths go in too, so that no two corpora run
        together."""
        digest = hashlib.sha256()
        for split in SPLITS:
            content = self.split(split).encode("utf-8", "surrogatepass")
            digest.update(f"{split} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()


def require_text(name: str, split: str, there: bool) -> None:
    """Refuse a split without text.

    Raises:
        DataError: it is one.
    """
    if not there:
        raise DataError(
            f"dataset={name}: the {split} split has no text; give it a file of its own, a larger "
            "fraction, or more text"
        )


def split_documents(
    documents: Sequence[Document], validation_fraction: float, test_fraction: float
) -> dict[str, list[Document]]:
    """Share whole documents out to the splits, each split spread evenly over their order.

    Documents in order of time, say, give three splits of the same eras. Each split with a fraction
    above zero has at least one document.

    Raises:
        DataError: too few documents.
    """
    splits = [
        name for name, f in zip(SPLITS[1:], (validation_fraction, test_fraction), strict=True) if f
    ]
    if len(documents) <= len(splits):
        raise DataError(
            f"{len(documents)} documents cannot be split into {len(splits) + 1}: "
            "a document is in one split only"
        )
    rest = list(range(len(documents)))
    chosen: dict[str, list[Document]] = {name: [] for name in SPLITS}
    for name, fraction in zip(SPLITS[1:], (validation_fraction, test_fraction), strict=True):
        if not fraction:
            continue
        splits.remove(name)
        # One document is kept for each split that is still to come, and for training.
        count = min(max(1, round(fraction * len(documents))), len(rest) - len(splits) - 1)
        picked = {rest[int((i + 0.5) * len(rest) / count)] for i in range(count)}
        chosen[name] = [documents[i] for i in sorted(picked)]
        rest = [i for i in rest if i not in picked]
    chosen["train"] = [documents[i] for i in rest]
    return chosen


def check_fractions(
    validation_fraction: float, test_fraction: float, node: str = "dataset"
) -> None:
    """Refuse fractions that leave nothing to train on.

    Args:
        node: of the configuration that holds them.

    Raises:
        DataError: one is negative, or they add up to 1 or more.
    """
    for name, value in (("validation", validation_fraction), ("test", test_fraction)):
        # Written so that nan is refused too.
        if not value >= 0:
            raise DataError(f"{node}.{name}_fraction={value}: must be at least 0 and below 1")
    if validation_fraction + test_fraction >= 1:
        raise DataError(
            f"{node}.validation_fraction={validation_fraction} and "
            f"{node}.test_fraction={test_fraction} leave nothing to train on; "
            "together they must be below 1"
        )

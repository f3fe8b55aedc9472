"""A corpus too large for memory: where its splits begin and end in its files, and its
fingerprint, all found by reading the files through."""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.corpus import SPLITS, Corpus, require_text
from unrolled.data.text_stream import text_blocks
from unrolled.errors import DataError

# Files of more bytes together are not read into memory whole.
LARGE = 1 << 27
# A compressed file is taken for so many times its size.
COMPRESSED = 4
# Goes up when the same files would give other splits.
FORMAT = 1
# A file that was written in the last seconds may change again without its time changing.
SETTLED_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Survey:
    """What reading a corpus through tells.

    Attributes:
        fingerprint: as ``Corpus.fingerprint`` of the same text.
        characters: of each split.
        places: where a file that is cut goes over to validation and to test, in characters.
    """

    fingerprint: str
    characters: dict[str, int]
    places: tuple[int, int]


class LargeCorpus(Corpus):
    """Running text in three splits, read from its files block by block each time.

    Args:
        files: the files of each split, a line break between two; none where the split is cut.
        cut: a file whose text is cut at line ends into the splits that have no files.
        fractions: of ``cut`` for validation and for test.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, Sequence[Path]],
        encoding: str,
        cut: Path | None = None,
        fractions: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        values = {"name": name, "files": files, "encoding": encoding, "cut": cut}
        # The class above is frozen.
        for key, value in {**values, "fractions": fractions, "_found": None}.items():
            object.__setattr__(self, key, value)

    files: Mapping[str, Sequence[Path]]
    encoding: str
    cut: Path | None
    fractions: tuple[float, float]
    _found: Survey | None

    def __repr__(self) -> str:
        return f"LargeCorpus({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LargeCorpus) and self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]

    @property
    def train(self) -> str:
        return self.split("train")

    @property
    def validation(self) -> str:
        return self.split("validation")

    @property
    def test(self) -> str:
        return self.split("test")

    def split(self, name: str) -> str:
        """The whole text of a split, in memory: ``blocks`` is for what need not have it whole."""
        return "".join(self.blocks(name))

    def blocks(self, name: str) -> Iterator[str]:
        files = self.files.get(name)
        if files is None:
            first, second = self.survey().places
            start, end = {"train": (0, first), "validation": (first, second)}.get(
                name, (second, None)
            )
            assert self.cut is not None
            yield from _between(text_blocks(self.cut, self.encoding), start, end)
            return
        for place, file in enumerate(files):
            if place:
                yield "\n"
            yield from text_blocks(file, self.encoding)

    @property
    def fingerprint(self) -> str:
        return self.survey().fingerprint

    def characters(self, name: str) -> int:
        return self.survey().characters[name]

    def survey(self, cache: Path | None = None) -> Survey:
        """Read all files through, once, or take what was found from the cache while none of them
        has changed.

        Raises:
            DataError: a file cannot be read or is empty, or a split has no text.
        """
        if self._found is None:
            path = cache / f"text-{self._key()}.json" if cache is not None else None
            found = None if path is None else _read(path)
            if found is None:
                begun = time.time()
                found = self._survey()
                if path is not None and self._settled(begun):
                    _write(path, found)
            object.__setattr__(self, "_found", found)
        assert self._found is not None
        return self._found

    def _all_files(self) -> list[Path]:
        own = [file for split in SPLITS for file in self.files.get(split, ())]
        return own if self.cut is None else [self.cut, *own]

    def _key(self) -> str:
        stats = [(file.resolve(), file.stat()) for file in self._all_files()]
        about = [
            FORMAT,
            self.encoding,
            self.fractions,
            {
                split: [str(file.resolve()) for file in files]
                for split, files in self.files.items()
            },
            [[str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino] for file, stat in stats],
        ]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def _settled(self, begun: float) -> bool:
        return all(f.stat().st_mtime < begun - SETTLED_SECONDS for f in self._all_files())

    def _survey(self) -> Survey:
        for file in self._all_files():
            if not any(block.strip() for block in text_blocks(file, self.encoding)):
                raise DataError(f"{file}: empty; there is nothing in it to read")
        places = (0, 0) if self.cut is None else self._places(self.cut)
        # The splits can be read as soon as their places are known.
        object.__setattr__(self, "_found", Survey("", {}, places))
        try:
            return self._digest(places)
        finally:
            object.__setattr__(self, "_found", None)

    def _digest(self, places: tuple[int, int]) -> Survey:
        digest = hashlib.sha256()
        characters: dict[str, int] = {}
        for split in SPLITS:
            count, size, text = 0, 0, False
            for block in self.blocks(split):
                count += len(block)
                size += len(_bytes(block))
                text = text or bool(block.strip())
            require_text(self.name, split, text)
            # The length goes before the content.
            digest.update(f"{split} {size}\n".encode())
            for block in self.blocks(split):
                digest.update(_bytes(block))
            characters[split] = count
        return Survey(digest.hexdigest(), characters, places)

    def _places(self, file: Path) -> tuple[int, int]:
        total = sum(map(len, text_blocks(file, self.encoding)))
        validation, test = self.fractions
        first = self._line_end(file, round(total * (1 - validation - test)), 0, total)
        second = first
        if validation:
            second = self._line_end(file, round(total * (1 - test)), first, total)
        return first, second

    def _line_end(self, file: Path, place: int, start: int, total: int) -> int:
        """The last line end between ``start`` and ``place``; ``place`` where there is none."""
        if place >= total:
            return total
        end, read = 0, 0
        for block in text_blocks(file, self.encoding):
            if read >= place:
                break
            if (found := block.rfind("\n", 0, place - read)) >= 0:
                end = read + found + 1
            read += len(block)
        return end if end > start else place


def are_large(files: Sequence[Path]) -> bool:
    """Whether files together are too large to be read into memory whole."""
    sizes = ((file.stat().st_size, file.suffix == ".gz") for file in files)
    return sum(size * (COMPRESSED if gz else 1) for size, gz in sizes) > LARGE


def _between(blocks: Iterator[str], start: int, end: int | None) -> Iterator[str]:
    """The characters from ``start`` to before ``end``; None: to the last."""
    read = 0
    for block in blocks:
        if end is not None and read >= end:
            return
        if part := block[max(0, start - read) : None if end is None else end - read]:
            yield part
        read += len(block)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read(path: Path) -> Survey | None:
    try:
        stored = json.loads(path.read_text("utf-8"))
        first, second = stored["places"]
        return Survey(stored["fingerprint"], dict(stored["characters"]), (first, second))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: damaged cache entry (%s); making it again", path, error)
        return None


def _write(path: Path, found: Survey) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(vars(found)), "utf-8")
        temporary.replace(path)
    except OSError as error:
        # It only saves time.
        log.warning("%s: cannot be written (%s)", path, error)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

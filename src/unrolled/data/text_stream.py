"""A text file decoded block by block: the text of ``files.read_text``, never held whole."""

import codecs
import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from unrolled.data.files import no_such_encoding, told_when_unreadable
from unrolled.errors import DataError

# Bytes that are read at a time.
BLOCK = 1 << 20


def text_blocks(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file in blocks, without a byte order mark, its line ends as ``\\n``.

    Raises:
        DataError: the file is binary, not in this encoding or cannot be read, or there is no such
            encoding.
    """
    try:
        decoder: Any = codecs.getincrementaldecoder(encoding)()
        zeros = codecs.lookup(encoding).name[:6] in ("utf-16", "utf-32")
    except LookupError as error:
        raise no_such_encoding(encoding) from error
    read, started, held = 0, False, ""
    for content in _contents(path):
        if not zeros and b"\0" in content:
            raise DataError(
                f"{path}: binary (byte {read + content.index(0):,} is zero), and a text file is "
                "needed; UTF-16 text is read with dataset.encoding=utf-16"
            )
        try:
            text = held + decoder.decode(content, not content)
        except UnicodeDecodeError as error:
            # What the decoder still held of the block before is before this block.
            place = read - (len(error.object) - len(content)) + error.start
            raise DataError(
                f"{path}: byte {place:,} of it is not {encoding}; if the text is in another "
                "encoding, name it, such as dataset.encoding=latin-1"
            ) from error
        read += len(content)
        if text and not started:
            # Some editors put a byte order mark before the text.
            text, started = text.removeprefix("\ufeff"), True
        # The line break that belongs to it may begin the next block.
        held = "\r" if content and text.endswith("\r") else ""
        text = text.removesuffix(held) if held else text
        if text:
            yield text.replace("\r\n", "\n")


def _contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file in blocks, the last of them empty."""
    with told_when_unreadable(path), contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        file: IO[bytes] = raw
        if path.suffix == ".gz":
            file = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
        content = b"-"
        while content:
            content = file.read(BLOCK)
            yield content

"""Files that a person names: found, read and decoded, or refused in a sentence."""

import codecs
import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from unrolled.errors import DataError


def existing(path: str, key: str) -> Path:
    """The file or folder that a key of the configuration names.

    Raises:
        DataError: there is none, or it is something that cannot be read again.
    """
    try:
        found = Path(path).expanduser()
        there = found.exists()
    # No such user, and a name that is too long or in a folder that is closed to us.
    except (RuntimeError, OSError) as error:
        raise DataError(f"{key}={path}: cannot be looked up ({error})") from error
    if not there:
        raise DataError(f"{key}={path}: no such file or folder (looked in {Path.cwd()})")
    if not found.is_dir():
        require_file(found, f"{key}={path}")
    return found


def existing_file(path: str, key: str) -> Path:
    """As ``existing``, and a folder is refused."""
    found = existing(path, key)
    if found.is_dir():
        raise DataError(f"{key}={path}: a folder, and a file is needed")
    return found


def existing_folder(path: str, key: str) -> Path:
    """As ``existing``, and a file is refused."""
    found = existing(path, key)
    if not found.is_dir():
        raise DataError(f"{key}={path}: a file, and a folder is needed")
    return found


def require_file(path: Path, name: object) -> None:
    """Refuse what would be waited for, or read without an end."""
    if path.is_file():
        return
    kinds = {
        "a named pipe": path.is_fifo(),
        "a socket": path.is_socket(),
        "a device": path.is_char_device() or path.is_block_device(),
        "a link to nothing": path.is_symlink() and not path.exists(),
    }
    kind = next((kind for kind, is_it in kinds.items() if is_it), "no file")
    raise DataError(f"{name}: {kind}, and a file that can be read again is needed")


def read_bytes(path: Path) -> bytes:
    """The content of a file; that of one whose name ends in .gz is decompressed.

    Raises:
        DataError: it cannot be read, or is not whole.
    """
    with told_when_unreadable(path):
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content


@contextlib.contextmanager
def told_when_unreadable(path: Path) -> Iterator[None]:
    """Say of which file it is that it cannot be read, or is not whole.

    Raises:
        DataError: reading it in the block failed.
    """
    try:
        yield
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: ends in .gz, and is not compressed by gzip") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: the compressed file is damaged ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_text(path: Path, encoding: str) -> str:
    """The text of a file, its line ends as ``\\n``.

    Raises:
        DataError: the file is empty, binary, not in this encoding or cannot be read, or there is
            no such encoding.
    """
    return decoded(read_bytes(path), str(path), encoding)


def decoded(content: bytes, name: str, encoding: str | None) -> str:
    """As ``read_text``.

    Args:
        name: of the content, for messages.
        encoding: None: UTF-8, and no option could name another.
    """
    if not content.strip():
        raise DataError(f"{name}: empty; there is nothing in it to read")
    kind = "utf-8" if encoding is None else encoding
    try:
        if b"\0" in content and codecs.lookup(kind).name[:6] not in ("utf-16", "utf-32"):
            hint = "; UTF-16 text is read with dataset.encoding=utf-16" if encoding else ""
            raise DataError(
                f"{name}: binary (byte {content.index(0):,} is zero), and a text file is needed"
                f"{hint}"
            )
        text = content.decode(kind)
    except LookupError as error:
        raise no_such_encoding(encoding) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = error.start - content.rfind(b"\n", 0, error.start)
        hint = (
            "if the text is in another encoding, name it, such as dataset.encoding=latin-1"
            if encoding
            else "convert it first, such as with iconv -f latin1 -t utf8"
        )
        raise DataError(f"{name}, line {line}: byte {byte} of it is not {kind}; {hint}") from error
    # Some editors put a byte order mark before the text.
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def no_such_encoding(encoding: str | None) -> DataError:
    """What to raise where Python knows no encoding of this name."""
    return DataError(f"dataset.encoding={encoding}: no such encoding; try utf-8 or latin-1")


def read_lines(path: Path, encoding: str) -> list[str]:
    """The lines of a text file, without the empty ones at its end.

    Raises:
        DataError: as ``read_text``.
    """
    # Not splitlines, which takes for a line's end what other encodings mean otherwise.
    return read_text(path, encoding).rstrip("\n").split("\n")

"""What several subcommands share: ``--trust``, ``--config-dir``, text that is read, the terminal,
the exit code of a failure."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.config.working_folder import search_working_folder
from unrolled.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--trust``."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module outside unrolled that the run's configuration may name, such as my_cells",
    )


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--config-dir``, ``-cd`` for short as Hydra has it."""
    parser.add_argument(
        "-cd", "--config-dir", metavar="DIR", help="a folder with config groups of your own"
    )


def trusted_prefixes(options: argparse.Namespace) -> list[str]:
    """Prefixes of the names that ``--trust`` allows, which are searched in the working folder,
    too."""
    if options.trust:
        search_working_folder()
    return [f"{module}." for module in options.trust]


def read_input(source: str) -> str:
    """The text of a file, or for ``-`` of standard input, its line ends as ``\\n``.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = content.decode()
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        name = "standard input" if source == "-" else source
        raise DataError(f"{name}: byte {error.start:,} is not utf-8; convert the text") from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def make_console() -> "Console":
    """The terminal, or where the output goes."""
    from rich.console import Console

    return Console()

"""What several subcommands share: ``--trust``, the terminal, the exit code of a failure."""

import argparse
from typing import TYPE_CHECKING

from unrolled.config.working_folder import search_working_folder

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


def trusted_prefixes(options: argparse.Namespace) -> list[str]:
    """Prefixes of the names that ``--trust`` allows, which are searched in the working folder,
    too."""
    if options.trust:
        search_working_folder()
    return [f"{module}." for module in options.trust]


def make_console() -> "Console":
    """The terminal, or where the output goes."""
    from rich.console import Console

    return Console()

"""``unrolled runs``: what runs there are, and in which state."""

import argparse
from pathlib import Path
from typing import Any

from unrolled.commands.options import make_console


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "runs", allow_abbrev=False, help=summary
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("outputs"), metavar="DIR")
    parser.add_argument("--failed", action="store_true", help="what was stopped, by its cause")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--watch", action="store_true", help="follow a study that is under way")
    return parser


def run(options: argparse.Namespace) -> int:
    """List runs, or follow them."""
    if options.watch:
        from unrolled.commands.watch import watch

        watch(options.folder, make_console())
        return 0
    from unrolled.commands.causes import print_causes
    from unrolled.commands.listing import list_runs, print_runs, runs_json

    lines = list_runs(options.folder, failed=options.failed)
    console = make_console()
    if options.json:
        print(runs_json(lines))
    elif options.failed and lines:
        print_causes(lines, console)
    else:
        print_runs(lines, console)
        print_causes(lines, console)
    return 0

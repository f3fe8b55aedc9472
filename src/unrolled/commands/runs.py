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
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser.add_argument("--watch", action="store_true", help="follow a study that is under way")
    return parser


def run(options: argparse.Namespace) -> int:
    """List the runs, or follow those under way."""
    console = make_console()
    if options.watch:
        from unrolled.commands.watch import watch

        watch(options.folder, console)
        return 0
    from unrolled.commands.causes import print_causes
    from unrolled.commands.listing import (
        list_runs,
        needs_attention,
        print_runs,
        runs_csv,
        runs_json,
        summary,
    )

    lines = list_runs(options.folder)
    shown = [line for line in lines if needs_attention(line)] if options.failed else lines
    if options.json:
        print(runs_json(shown))
    elif options.csv:
        print(runs_csv(shown), end="")
    elif options.failed and lines and not shown:
        console.print(f"none failed; {summary(lines)}", highlight=False)
    else:
        if not options.failed or not lines:
            print_runs(lines, console)
        print_causes(shown, console)
    return 0

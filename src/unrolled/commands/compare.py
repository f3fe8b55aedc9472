"""``unrolled compare``: many runs to one answer."""

import argparse
from pathlib import Path
from typing import Any

from unrolled.commands.options import make_console


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "compare", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="studies to read")
    parser.add_argument("--metric", help="such as validation/perplexity, the default")
    parser.add_argument("--baseline", help="what the others are compared with; default: the best")
    parser.add_argument(
        "--by", help="config keys that make a group, such as cell.name,model.layers"
    )
    parser.add_argument("--output", type=Path, help="where to write; default: DIR/comparison")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare the runs of some studies."""
    from unrolled.comparison.report import compare
    from unrolled.comparison.table import print_comparison

    comparison = compare(
        options.folders,
        metric=options.metric,
        baseline=options.baseline,
        by=options.by.split(",") if options.by else None,
        output=options.output,
    )
    print_comparison(comparison, make_console())
    return 0

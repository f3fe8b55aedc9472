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
    parser.add_argument(
        "--metric", help="such as validation/loss; default: the primary metric of the task"
    )
    parser.add_argument("--baseline", help="what the others are compared with; default: the best")
    parser.add_argument(
        "--by", help="config keys that make a group, such as cell.name,model.layers"
    )
    parser.add_argument(
        "--across",
        choices=["data"],
        help="data: rank the rows over several data sets, of which each row needs all",
    )
    parser.add_argument(
        "--equivalence",
        metavar="MARGIN",
        help="a difference that makes none in practice, 1%% of the baseline or 0.05 in the "
        "metric's unit: how probable it is that each lies within",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="where to write; default: DIR/comparison, of several DIR a folder beside them",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV in place of the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare, write the files, and print the table."""
    from unrolled.comparison.export import to_csv
    from unrolled.comparison.report import compare
    from unrolled.comparison.table import print_comparison

    comparison, written = compare(
        options.folders,
        metric=options.metric,
        baseline=options.baseline,
        by=options.by.split(",") if options.by else None,
        output=options.output,
        equivalence=options.equivalence,
        across_data=options.across == "data",
    )
    if options.csv:
        print(to_csv(comparison), end="")
    else:
        print_comparison(comparison, written.next_steps, make_console())
    return 0

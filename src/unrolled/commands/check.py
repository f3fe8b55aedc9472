"""``unrolled check``: the checks that our own cells pass, for any cell."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrolled.commands.options import FAILED, add_config_dir, make_console
from unrolled.config.build import EVERYTHING, object_at
from unrolled.config.hyperparameters import typed_values
from unrolled.config.signatures import read_signature
from unrolled.config.working_folder import search_working_folder
from unrolled.errors import ConfigError

if TYPE_CHECKING:
    from unrolled.cell_checks.measurement import Size
    from unrolled.cells.base import Cell

WORDS = {True: ("ok", "green"), False: ("FAILED", "red"), None: ("", "")}

HELP = """\
examples:
  unrolled check my_cells.MyCell rank=4    a cell in my_cells.py of the working folder
  unrolled check slstm heads=2             one of ours
"""


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check",
        allow_abbrev=False,
        help=summary,
        description="The checks that our own cells pass, for any cell.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cell", metavar="CELL", help="my_cells.MyCell, or a choice such as lstm")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="hyperparameters")
    add_config_dir(parser)
    parser.add_argument("--hidden-size", type=int, default=256, help="of the timed layer (256)")
    parser.add_argument("--batch-size", type=int, default=32, help="of the timed layer (32)")
    parser.add_argument("--length", type=int, default=64, help="of the timed sequences (64)")
    parser.add_argument(
        "--compiled", action="store_true", help="the compiled backend, too (some ten seconds)"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Check a cell and print what was found."""
    from unrolled.config.compose import compose_run

    search_working_folder()
    for name in ("hidden_size", "batch_size", "length"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')}: must be at least 1")
    given = hyperparameters(options.overrides)
    own = "." in options.cell
    choice = f"cell._target_={options.cell}" if own else f"cell={options.cell}"
    config = compose_run([choice], options.config_dir)
    if own:
        object_at(options.cell)
    _require_types(str(config.cell._target_), given)
    from unrolled.cell_checks.measurement import Size
    from unrolled.comparison.table import readable

    size, console = Size(options.hidden_size, options.batch_size, options.length), make_console()
    with readable(console):
        failed = examine_cell(config.cell, given, size, options.compiled, console)
    return FAILED if failed else 0


def examine_cell(
    node: DictConfig,
    given: Mapping[str, Any],
    size: "Size",
    compiled: bool,
    console: Console,
) -> int:
    """Examine the cell that a ``cell`` node names and print each finding as it is made.

    Args:
        given: hyperparameters that take precedence over the node's.

    Returns:
        How many checks failed.

    Raises:
        ConfigError: it is not a cell, does not take these hyperparameters, cannot be built, or
            would not fit into memory.
    """
    from unrolled.cell_checks.construction import construct
    from unrolled.cell_checks.examination import examine
    from unrolled.models.build import cell_of

    cell, options = cell_of(node, EVERYTHING, given)
    multiple = cell.size_multiple(**options)
    if size.hidden_size % multiple:
        raise ConfigError(
            f"--hidden-size {size.hidden_size}: {cell.__name__} takes multiples of {multiple}"
        )
    make = partial(construct, cell, **options)
    require_memory(make, size)
    made = ", ".join(f"{key}={value}" for key, value in options.items())
    console.print(Text(f"{cell.__module__}.{cell.__name__}({made})", style="bold"))
    failed = 0
    for finding in examine(make, size, multiple=multiple, compiled=compiled):
        failed += finding.passed is False
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(width=6)
        line.add_column(width=36)
        line.add_column()
        word, style = WORDS[finding.passed]
        line.add_row(Text(word, style=style), finding.check, Text(finding.detail))
        console.print(line)
    verdict = f"is not sound: {failed} check{'s' * (failed > 1)} failed" if failed else "is sound"
    console.print(Text(f"{cell.__name__} {verdict}", style="bold"))
    return failed


def _require_types(target: str, given: Mapping[str, Any]) -> None:
    """Refuse what the cell's source alone tells to be wrong, before torch is imported."""
    signature = read_signature(target)
    # What the base class alone takes is for subclasses to decide.
    if signature is not None and "output_size" not in signature.parameters:
        typed_values(given, replace(signature, required=frozenset()).without_first(2), "cell")


def hyperparameters(overrides: Sequence[str]) -> dict[str, Any]:
    """``key=value`` pairs, with values as ``unrolled train`` reads them.

    Raises:
        ConfigError: one is something else.
    """
    parser = OverridesParser.create()
    values: dict[str, Any] = {}
    for text in overrides:
        try:
            override = parser.parse_override(text)
            plain = override.type == OverrideType.CHANGE and not override.is_sweep_override()
        except HydraException:
            plain = False
        if not plain:
            raise ConfigError(f"{text}: give a hyperparameter as key=value, such as rank=4")
        values[override.key_or_group] = override.value()
    return values


def require_memory(make: "Callable[[int, int], Cell]", size: "Size") -> None:
    """Refuse to time a layer for which memory would not suffice.

    Raises:
        ConfigError: it would not; the message says what is needed and what there is.
    """
    import torch

    from unrolled.cell_checks.memory import available_bytes, written

    available = available_bytes()
    if available is None:
        return
    width = size.hidden_size
    # The native LSTM that is timed beside the layer: its weights and their gradients; of both,
    # input, projections and outputs of all steps.
    needed = 4 * (2 * 8 * width * (width + 1) + 8 * size.length * size.batch * width)
    if needed <= available:
        with torch.device("meta"):
            needed += (
                4 * 2 * sum(parameter.numel() for parameter in make(width, width).parameters())
            )
    if needed > available:
        raise ConfigError(
            f"--hidden-size {width}, --batch-size {size.batch}, --length {size.length}: timing "
            f"this layer takes at least {written(needed)} of memory, and {written(available)} are "
            "free; give smaller ones"
        )

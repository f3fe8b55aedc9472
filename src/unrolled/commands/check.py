"""The checks of ``unrolled check``, as a person reads them."""

from functools import partial

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrolled.cell_checks.examination import Size, examine
from unrolled.config.build import EVERYTHING
from unrolled.errors import ConfigError
from unrolled.models.build import cell_of

WORDS = {True: ("ok", "green"), False: ("FAILED", "red"), None: ("", "")}


def examine_cell(node: DictConfig, size: Size, compiled: bool, console: Console) -> int:
    """Examine the cell that a ``cell`` node names and print each finding as it is made.

    Returns:
        How many checks failed.

    Raises:
        ConfigError: it is not a cell, does not take these hyperparameters, or cannot be built.
    """
    cell, options = cell_of(node, EVERYTHING)
    multiple = cell.size_multiple(**options)
    if size.hidden_size % multiple:
        raise ConfigError(
            f"--hidden-size {size.hidden_size}: {cell.__name__} takes multiples of {multiple}"
        )
    made = ", ".join(f"{key}={value}" for key, value in options.items())
    console.print(Text(f"{cell.__module__}.{cell.__name__}({made})", style="bold"))
    failed = 0
    for finding in examine(partial(cell, **options), size, multiple=multiple, compiled=compiled):
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

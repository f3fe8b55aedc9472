"""``unrolled.compare``: many runs to one answer, as an object that shows itself in a notebook."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unrolled.api.frames import Library, make_frame
from unrolled.api.listing import no_run_in, source_folders
from unrolled.api.run import Run
from unrolled.comparison.results import Comparison as Results
from unrolled.errors import ConfigError, RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from unrolled.api.sweeping import Sweep


@dataclass(frozen=True, repr=False)
class Comparison:
    """What the records of some runs say.

    In a notebook it shows the answer, the table and the pictures; ``print`` gives the table of the
    command. Nothing is written until ``write`` is asked for.

    Attributes:
        results: everything as data: rows with their runs, differences of every pair, references,
            what was left out and why.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> sweep = unrolled.sweep(
    ...     tiny, cell=["rnn_tanh", "gru"], seed=[1, 2], study="words", progress=False
    ... )
    >>> comparison = sweep.compare(baseline="rnn_tanh")
    >>> comparison.metric, sorted(row.label for row in comparison.results.rows)
    ('validation/perplexity', ['gru', 'rnn_tanh'])
    >>> [*comparison.figures]
    ['seeds']
    """

    results: Results

    @property
    def answer(self) -> str:
        """Which row is best, and what is known of the others against the baseline, in sentences
        that claim no more than the seeds support."""
        return self.results.answer

    @property
    def metric(self) -> str:
        """What rows are compared by, such as ``validation/perplexity``."""
        return self.results.metric

    @property
    def notes(self) -> list[str]:
        """What must be said with the table: what was left out, and mistakes that it invites."""
        return [note.text for note in self.results.notes]

    def table(self, frame: Library | None = None) -> Any:
        """A data frame with a row for each cell or group, best first, and below them what they are
        read against (chance, a unigram model, published figures).

        Args:
            frame: ``pandas`` or ``polars``; None: pandas where it is installed.

        Returns:
            The columns of ``comparison.csv``: the mean of each figure with its 95 % interval
            (``…_low``, ``…_high``), the difference to the baseline with its p, corrected for every
            pair, parameters, FLOPs, seconds of training, tokens per second.
        """
        from unrolled.comparison.export import to_rows

        return make_frame(to_rows(self.results), frame)

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """The pictures by name, as matplotlib figures: ``learning_curves``, ``seeds``, and others
        where the runs have them, such as ``tuning`` of a fair study."""
        return {name.removesuffix(".png"): figure for name, figure in self._pictures.items()}

    def write(self, folder: str | Path | None = None) -> list[Path]:
        """Write what ``unrolled compare`` writes: the report as one page, pictures, Markdown,
        LaTeX, CSV, JSON, and what TensorBoard shows of it.

        Args:
            folder: None: ``comparison`` in the folder that was compared.

        Returns:
            The files.

        Raises:
            StorageError: they cannot be written.
        """
        from unrolled.comparison.report import output_folder, write

        place = output_folder(self.results.folders) if folder is None else Path(folder)
        return [*write(self.results, place).files]

    def to_markdown(self) -> str:
        """The answer, the table and the notes as Markdown."""
        from unrolled.comparison.export import markdown

        return markdown(self.results)

    def to_latex(self) -> str:
        """The table for a paper, with booktabs' rules."""
        from unrolled.comparison.latex import to_latex

        return to_latex(self.results)

    @cached_property
    def _pictures(self) -> "dict[str, Figure]":
        from unrolled.comparison.report import pictures

        return pictures(self.results)

    def __repr__(self) -> str:
        import io

        from rich.console import Console

        from unrolled.comparison.table import print_comparison

        text = io.StringIO()
        print_comparison(self.results, (), Console(file=text, force_jupyter=False))
        return text.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        from unrolled.comparison.notebook import notebook_html

        return notebook_html(self.results, self._pictures)


def compare(
    source: "str | Path | Run | Sweep | Iterable[str | Path | Run]",
    *,
    metric: str | None = None,
    by: str | Sequence[str] | None = None,
    baseline: str | None = None,
    equivalence: str | None = None,
    across: Literal["data"] | None = None,
) -> Comparison:
    """Compare finished runs, as ``unrolled compare`` does.

    Means come with 95 % intervals; differences are paired by seed and corrected for every pair
    (``docs/statistics.md``), and where the seeds do not support a winner, the answer says so.

    Args:
        source: a folder with runs below it, a sweep, a run, or several of these.
        metric: such as ``validation/loss``; None: the primary metric of the task.
        by: keys of the configuration that make a row, such as ``["cell.name", "model.layers"]``;
            None: the cell, and whatever else the runs differ in.
        baseline: the row that the others are compared with; None: the best.
        equivalence: a difference that makes none in practice, ``"1%"`` of the baseline or
            ``"0.05"`` in the metric's unit: how probable it is that each lies within.
        across: ``"data"`` ranks the rows over several data sets, of which each row needs all.

    Raises:
        RunError: no such folder, no run in it, or none that is finished.
        ConfigError: a metric, a baseline or a key that no run has.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> sweep = unrolled.sweep(
    ...     tiny, cell=["rnn_tanh", "gru"], seed=[1, 2], study="words", progress=False
    ... )
    >>> comparison = unrolled.compare("outputs/words", metric="validation/loss")
    >>> comparison.table(frame="polars")["label"].to_list()[-1]
    '8-gram'
    >>> "validation loss" in comparison.answer
    True
    >>> unrolled.compare("outputs/words", baseline="lstm")
    Traceback (most recent call last):
    unrolled.errors.ConfigError: baseline=lstm: no row of this comparison is called so; ...
    """
    from unrolled.api.sweeping import Sweep
    from unrolled.comparison.collect import collect
    from unrolled.comparison.report import analyse
    from unrolled.comparison.statistics import Margin

    if across not in (None, "data"):
        raise ConfigError(f"across={across}: data, or nothing")
    folders = source_folders(source)
    if not folders:
        raise RunError(no_run_in(folders))
    margin = None if equivalence is None else Margin.of(equivalence)
    keys = by.split(",") if isinstance(by, str) else by
    collected = collect(folders, keys, across == "data")
    named = isinstance(source, Sweep | Run) or not isinstance(source, str | Path)
    # Single runs are told by their studies, as a folder of them is.
    shown = list(dict.fromkeys(_study(folder) for folder in folders)) if named else folders
    return Comparison(analyse(collected, shown, metric, baseline, margin))


def _study(folder: Path) -> Path:
    from unrolled.runs.record import RECORD

    return folder.parent if (folder / RECORD).is_file() else folder

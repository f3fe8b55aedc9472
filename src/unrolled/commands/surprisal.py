"""``unrolled surprisal``: how surprising each token of a text is to trained runs, coloured, as a
page or a table, and which tokens and lines are unusual."""

import argparse
import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from unrolled.commands.generate import heading, text_task
from unrolled.commands.options import add_trust, make_console, read_input, trusted_prefixes
from unrolled.data.corpus import Corpus
from unrolled.errors import ConfigError, DataError
from unrolled.runs.files import atomic_path
from unrolled.runs.text import one_line, printable
from unrolled.tasks.build import sources
from unrolled.tasks.generation import Surprisal, TextTask, Totals
from unrolled.training.load import StoredRun, load_trained_run

if TYPE_CHECKING:
    from rich.console import Console

    from unrolled.commands.anomalies import Line, Reference
    from unrolled.models.model import RecurrentModel

# How much of the validation split says what is usual.
REFERENCE_CHARACTERS = 100_000
# Alternatives that a page shows for each token.
ALTERNATIVES = 5


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "surprisal", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="the text itself")
    text.add_argument("--file", metavar="FILE", help="a UTF-8 file; - reads stdin")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page, and print only the summary"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write a row a token, and print only the summary"
    )
    parser.add_argument(
        "--flag",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="mark what at most this share of usual text is as surprising as (0.01)",
    )
    parser.add_argument(
        "--usual",
        choices=["validation", "text"],
        default="validation",
        help="what is usual: the run's validation split (default), or the text itself",
    )
    parser.add_argument(
        "--lines", type=int, default=10, help="list so many of the most surprising lines (10)"
    )
    parser.add_argument(
        "--no-color", action="store_true", help="a line a token, with its bits and rank"
    )
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print, and write, how surprising a text is to some runs."""
    if not 0 < options.flag < 1:
        raise ConfigError(f"--flag {options.flag:g}: must be above 0 and below 1")
    if options.lines < 0:
        raise ConfigError(f"--lines {options.lines}: must be at least 0")
    for path in (options.html, options.csv):
        if path is not None and path.is_dir():
            raise ConfigError(f"{path}: a folder, and the name of a file is needed")
    name = {None: "the text", "-": "standard input"}.get(options.file, options.file)
    text = options.text if options.file is None else read_input(options.file)
    if not text:
        raise DataError(f"{name}: empty; there is no text to read")
    trusted = trusted_prefixes(options)
    runs = [load_trained_run(folder, trusted) for folder in options.folders]
    readers = [Reader(run, text) for run in runs]
    console = make_console()
    if options.no_color:
        console.no_color = True
    usual = [reader.reference(options.usual, console) for reader in readers]
    from unrolled.commands.anomalies import limit

    # Of one scale, so that runs can be compared by eye; in full colour what all would mark.
    full = max(1e-9, *(min(limit(one.tokens, options.flag), one.tokens[-1]) for one in usual))
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        if options.html is not None:
            from unrolled.commands.surprisal_page import Page

            page = Page(_open(stack, options.html), f"Surprisal of {name}", full)
            sinks.append(page)
        if options.csv is not None:
            sinks.append(Rows(_open(stack, options.csv)))
        if not sinks:
            coloured = console.is_terminal and not console.no_color
            sinks.append(Coloured(console, full) if coloured else Plain(console))
        for reader, reference in zip(readers, usual, strict=True):
            if len(runs) > 1:
                _say(console, f"--- {heading(reader.run)}")
            sentences, lines = reader.read(sinks, reference, options.flag, options.lines)
            for sink in sinks:
                sink.end(sentences, lines)
            _print_report(console, sentences, lines)
        if options.html is not None:
            page.close()
    return 0


class Sink(Protocol):
    """What takes the tokens of a run, one by one."""

    def begin(self, run: StoredRun) -> None:
        """A run begins."""
        ...

    def token(self, line: int, token: Surprisal, unusual: bool) -> None:
        """The next token."""
        ...

    def end(self, sentences: "Sequence[str]", lines: "Sequence[tuple[Line, float]]") -> None:
        """The run is over: its figures, and its most surprising lines with how usual they are."""
        ...


class Reader:
    """One run reads a text.

    Raises:
        ConfigError: the run's task writes no text.
        RunError: there is no trained model.
    """

    def __init__(self, run: StoredRun, text: str) -> None:
        self.run = run
        self.text = text
        self.task: TextTask = text_task(run)
        self.model: RecurrentModel = run.best_model()

    def tokens(self, text: str, alternatives: int = 0) -> Iterator[Surprisal]:
        """How surprising each token of a text is.

        Raises:
            DataError: there is no token in it.
        """
        tokens = self.task.surprisals(self.run.fitted, self.model, text, alternatives)
        first = next(tokens, None)
        if first is None:
            raise DataError(f"{self.run.folder}: the text has no token for the run's tokenizer")
        yield first
        yield from tokens

    def reference(self, usual: str, console: "Console") -> "Reference":
        """What is usual, from the validation split where it can be read."""
        from unrolled.commands.anomalies import measure

        if usual == "validation":
            try:
                text = validation_text(self.run)
                name = f"the first {len(text):,} characters of the validation split"
                return measure(name, self.tokens(text))
            except (DataError, ConfigError) as error:
                _say(console, f"the text itself says what is usual in it: {error}")
        return measure("this text itself", self.tokens(self.text))

    def read(
        self, sinks: Sequence[Sink], usual: "Reference", share: float, count: int
    ) -> "tuple[list[str], list[tuple[Line, float]]]":
        """Give every token to the sinks; sentences about all, and the most surprising lines with
        the share of usual lines that are as surprising."""
        from unrolled.commands.anomalies import Lines, MostSurprising, limit, share_as_surprising

        unusual, unusual_line = limit(usual.tokens, share), limit(usual.lines, share)
        totals, lines, most = Totals(), Lines(), MostSurprising(count)
        marked = all_lines = marked_lines = 0

        def ended(line: "Line | None") -> None:
            nonlocal all_lines, marked_lines
            if line is not None:
                all_lines += 1
                marked_lines += line.bits > unusual_line
                most.add(line)

        for sink in sinks:
            sink.begin(self.run)
        for token in self.tokens(self.text, ALTERNATIVES):
            totals.add(token)
            flagged = token.bits > unusual
            marked += flagged
            for sink in sinks:
                sink.token(lines.number, token, flagged)
            ended(lines.add(token))
        ended(lines.end())
        figures = totals.figures(len(self.text)).items()
        sentences = [
            f"{totals.tokens:,} tokens, {len(self.text):,} characters: "
            + ", ".join(f"{name} {value:.3f}" for name, value in figures)
        ]
        if totals.unknown:
            sentences.append(
                f"{totals.unknown:,} tokens ({100 * totals.unknown / totals.tokens:.2g} %) stand "
                "for what the model never saw; their surprisal is not that of the text"
            )
        sentences.append(
            f"unusual, as at most {100 * share:g} % of {usual.name} is: {marked:,} tokens "
            f"{_above(unusual)}, {marked_lines:,} of {all_lines:,} lines {_above(unusual_line)}"
        )
        shown = [(line, share_as_surprising(usual.lines, line.bits)) for line in most.lines()]
        return sentences, shown


def validation_text(run: StoredRun) -> str:
    """The beginning of a run's validation split, up to the end of a line.

    Raises:
        DataError: it cannot be read, or is not what the run was trained with.
        ConfigError: its loader is not trusted.
    """
    corpus = sources(run.config, run.config.paths.cache, run.trusted).load()
    if not isinstance(corpus, Corpus):
        raise DataError(f"dataset={run.config.dataset.name}: no running text")
    if corpus.fingerprint != run.record.data.get("fingerprint"):
        raise DataError(f"dataset={corpus.name}: it has changed since the run was trained")
    text = corpus.opening("validation", REFERENCE_CHARACTERS)
    return text[: text.rfind("\n") + 1] or text


class Coloured:
    """On a terminal: each token on its shade, unusual ones underlined."""

    def __init__(self, console: "Console", full: float) -> None:
        from rich.text import Text

        self.console = console
        self.full = full
        self.text = Text()
        self.waiting = 0

    def begin(self, run: StoredRun) -> None:
        """Nothing; its name stands there."""

    def token(self, line: int, token: Surprisal, unusual: bool) -> None:
        """Print it when its line, or some hundred tokens, are there."""
        from unrolled.commands.shades import level, shade

        background, ink = shade(level(token.bits, self.full))
        style = f"{'bold underline ' if unusual else ''}{ink} on {background}"
        body, end, _ = token.text.partition("\n")
        text = printable(body) + ("↵" if end else "") or "\N{REPLACEMENT CHARACTER}"
        self.text.append(text, style)
        self.text.append(end)
        self.waiting += 1
        if end or self.waiting >= 200:
            self._print()

    def end(self, sentences: Sequence[str], lines: "Sequence[tuple[Line, float]]") -> None:
        """Print what is left."""
        open_line = self.waiting > 0
        self._print()
        self.console.print("\n" if open_line else "")

    def _print(self) -> None:
        self.console.print(self.text, end="", soft_wrap=True)
        self.text = self.text[:0]
        self.waiting = 0


class Plain:
    """A line a token: its line, bits, rank, and the token, ``*`` before an unusual one."""

    def __init__(self, console: "Console") -> None:
        self.console = console

    def begin(self, run: StoredRun) -> None:
        """Nothing; its name stands there."""
        _say(self.console, "  line    bits    rank  token")

    def token(self, line: int, token: Surprisal, unusual: bool) -> None:
        """Print it."""
        text = one_line(token.text)
        mark = "*" if unusual else " "
        # rich would take longer for this than the model.
        row = f"{line:6} {token.bits:7.2f} {token.rank:7} {mark}'{text}'\n"
        self.console.file.write(row)

    def end(self, sentences: Sequence[str], lines: "Sequence[tuple[Line, float]]") -> None:
        """An empty line."""
        _say(self.console, "")


class Rows:
    """CSV, a row a token, its text as it is."""

    def __init__(self, out: TextIO) -> None:
        self.writer = csv.writer(out, lineterminator="\n")
        self.writer.writerow(["run", "line", "token", "bits", "rank", "unusual"])

    def begin(self, run: StoredRun) -> None:
        """Remember its name."""
        self.run = run.record.name

    def token(self, line: int, token: Surprisal, unusual: bool) -> None:
        """Write it."""
        bits = f"{token.bits:.6f}"
        self.writer.writerow([self.run, line, token.text, bits, token.rank, int(unusual)])

    def end(self, sentences: Sequence[str], lines: "Sequence[tuple[Line, float]]") -> None:
        """Nothing is left."""


def _print_report(
    console: "Console", sentences: Sequence[str], lines: "Sequence[tuple[Line, float]]"
) -> None:
    for sentence in sentences:
        _say(console, sentence)
    if lines:
        _say(console, "\n  line    bits  as surprising  the most surprising lines")
    for line, share in lines:
        text = one_line(line.text)
        room = max(20, console.width - 32)
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        _say(console, f"{line.number:6} {line.bits:7.2f} {f'{100 * share:.2f} %':>14}  {text}")


def _above(bits: float) -> str:
    return f"(above {bits:.2f} bits)" if bits < float("inf") else "(too little text to tell)"


def _open(stack: contextlib.ExitStack, path: Path) -> TextIO:
    """A file that is there whole or not at all."""
    temporary = stack.enter_context(atomic_path(path))
    return stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))


def _say(console: "Console", text: str) -> None:
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

"""``unrolled diagnose``: why a run remembers or forgets, or several runs side by side."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.commands.options import FAILED, add_trust, make_console, trusted_prefixes
from unrolled.diagnostics.parts import PARTS
from unrolled.errors import ConfigError, UnrolledError
from unrolled.runs.diagnostics import write_diagnostics
from unrolled.runs.files import json_text
from unrolled.runs.text import one_line, printable
from unrolled.tasks.build import sources
from unrolled.training.load import StoredRun, load_trained_run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import Console

    from unrolled.diagnostics.differences import Difference
    from unrolled.diagnostics.findings import Diagnosis
    from unrolled.diagnostics.sample import TokenStream

TOKENS = 10_000
# Tokens that are shown of two runs' differences.
SHOWN = 10


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "diagnose", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"some of {','.join(PARTS)}"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=TOKENS,
        help=f"how many steps of the split each part reads, roughly ({TOKENS})",
    )
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        default="validation",
        help="what is read (validation)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Diagnose runs, print what is found, and leave it in their folders."""
    only = parts_of(options.only)
    if options.tokens < 1:
        raise ConfigError(f"--tokens {options.tokens}: must be at least 1")
    trusted = trusted_prefixes(options)
    examined: list[Examined] = []
    failures: list[UnrolledError] = []
    for folder in dict.fromkeys(options.folders):
        try:
            run = load_trained_run(folder, trusted)
            examined.append(examine(run, only, options.split, options.tokens))
        except UnrolledError as error:
            failures.append(error)
    if not examined:
        raise failures[0]
    pairs = [differences(examined[0], other) for other in examined[1:] if "memory" in only]
    for one in examined:
        about = {"parts": only, "split": options.split, "tokens": options.tokens}
        write_diagnostics(one.run.folder, {**about, **one.diagnosis.to_plain()})
    console = make_console()
    if options.json:
        print(_as_json(examined, pairs))
    else:
        print_diagnoses(examined, pairs, console)
    for failure in failures:
        print(f"unrolled: left out: {printable(str(failure))}", file=sys.stderr)
    return FAILED if failures else 0


@dataclass(frozen=True)
class Examined:
    """A run, what was found of it, and, where it reads running text, its losses token by token.

    Attributes:
        losses: of the first tokens of the split, in nats; None where there are none.
    """

    run: StoredRun
    diagnosis: "Diagnosis"
    stream: "TokenStream | None" = None
    losses: "npt.NDArray[np.float64] | None" = None


@dataclass(frozen=True)
class Differences:
    """Where two runs differ most on the same tokens.

    Attributes:
        better: where the second run's loss is lower, ``worse`` where it is higher.
        reason: why they cannot be compared; empty where they can.
    """

    first: str
    second: str
    better: "Sequence[Difference]" = ()
    worse: "Sequence[Difference]" = ()
    reason: str = ""


def parts_of(text: str) -> list[str]:
    """The parts that ``--only`` names.

    Raises:
        ConfigError: there is no such part.
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    for name in named:
        if name not in PARTS:
            near = difflib.get_close_matches(name, PARTS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(PARTS)}"
            raise ConfigError(f"--only {name}: no such part; {hint}")
    if not named:
        raise ConfigError(f"--only: names nothing; choose from {', '.join(PARTS)}")
    return [part for part in PARTS if part in named]


def examine(run: StoredRun, only: Sequence[str], split: str, tokens: int) -> Examined:
    """Diagnose one run by its own stored configuration.

    Raises:
        RunError: there is no trained model.
        ConfigError: the configuration names code that is not trusted.
        DataError: the data cannot be read.
    """
    # The weights first: where there are none, nothing else need be waited for.
    model = run.best_model().eval()
    _leave_busy_cores()
    data = run.task.prepare(sources(run.config, run.config.paths.cache, run.trusted), run.fitted)

    from unrolled.data.text_tokenizer import TextTokenizer
    from unrolled.diagnostics.diagnosis import diagnose
    from unrolled.diagnostics.memory import token_losses, why_not
    from unrolled.diagnostics.sample import token_stream

    batches = run.task.batches(data, seed=run.config.seed)
    tokenizer = run.fitted if isinstance(run.fitted, TextTokenizer) else None
    found = diagnose(
        model,
        batches,
        split=split,
        tokens=tokens,
        only=only,
        initial=run.initial_model() if "gradients" in only else None,
        tokenizer=tokenizer,
    )
    if run.record.state != "finished":
        found.notes.insert(0, f"the run is {run.record.state}; this is its best checkpoint so far")
    if data.fingerprint != run.record.data.get("fingerprint"):
        found.notes.insert(0, "the data is not what the run was trained with")
    stream = token_stream(batches, split)
    if "memory" not in only or stream is None or why_not(model, stream) is not None:
        return Examined(run, found)
    return Examined(run, found, stream, token_losses(model, stream, tokens))


def _leave_busy_cores() -> None:
    """Threads that wait for a core which others keep busy make all of a step wait."""
    import torch

    from unrolled.training.threads import threads_to_yield

    if threads := threads_to_yield():
        torch.set_num_threads(min(threads, torch.get_num_threads()))


def differences(first: Examined, second: Examined) -> Differences:
    """Which tokens of the same text one of two runs predicts better, the state carried."""
    import numpy as np

    from unrolled.diagnostics.differences import largest

    names = (first.run.record.name, second.run.record.name)
    if first.losses is None or second.losses is None:
        return Differences(*names, reason="one of them has no loss token by token")
    assert first.stream is not None
    assert second.stream is not None
    keys = [one.run.record.data.get("tokenizer_fingerprint") for one in (first, second)]
    if keys[0] != keys[1] or not np.array_equal(first.stream.ids, second.stream.ids):
        return Differences(*names, reason="they do not read the same tokens")
    gains = first.losses - second.losses
    if not np.isfinite(gains).all():
        return Differences(*names, reason="the losses of one of them are not finite")
    places, ids = range(1, len(gains) + 1), first.stream.ids
    better, worse = (largest(g, places, ids, first.run.fitted, SHOWN) for g in (gains, -gains))
    return Differences(*names, better, worse)


def print_diagnoses(
    examined: Sequence[Examined], pairs: Sequence[Differences], console: "Console"
) -> None:
    """Print a table with a column a run, what it does not say and why, and tokens in their
    text."""
    from rich.table import Table

    table = Table()
    table.add_column("", no_wrap=True)
    for one in examined:
        table.add_column(printable(one.run.record.name), justify="right", overflow="fold")
    columns = [_written(one.diagnosis.numbers) for one in examined]
    names = dict.fromkeys(name for column in columns for name in column)
    part = ""
    for name in sorted(names, key=_order):
        now, _, rest = name.partition("/")
        if now != part:
            table.add_section()
            table.add_row(f"[bold]{now}[/bold]")
            part = now
        label = printable(rest.replace("_", " ").replace("/", ", "))
        table.add_row(f"  {label}", *(column.get(name, "-") for column in columns))
    console.print(table)
    if any("gates/" in name for name in names):
        _say(console, "gates: mean opening, and the share of steps under 0.1 / over 0.9")
    for one in examined:
        for note in one.diagnosis.notes:
            _say(console, f"{one.run.record.name}: {note}")
    for one in examined:
        gains = one.diagnosis.gains
        _tokens(console, f"{one.run.record.name} gains most from far context at", gains)
    for pair in pairs:
        if pair.reason:
            _say(console, f"{pair.first} and {pair.second} token by token: {pair.reason}")
        _tokens(console, f"{pair.second} predicts better than {pair.first}", pair.better)
        _tokens(console, f"{pair.first} predicts better than {pair.second}", pair.worse)


def _written(numbers: Mapping[str, float]) -> dict[str, str]:
    """Each number for people; those of a gate in one line, its stuck units in the file alone."""
    written: dict[str, str] = {}
    for name, value in numbers.items():
        gate, _, last = name.rpartition("/")
        if last == "mean_opening":
            closed, opened = (100 * numbers[f"{gate}/{of}"] for of in ("under_0.1", "over_0.9"))
            written[gate] = f"{value:.2f} {closed:.0f}/{opened:.0f} %"
        elif last not in ("under_0.1", "over_0.9", "stuck_units"):
            written[name] = f"{value:.4g}"
    return written


def _order(name: str) -> tuple[int, bool]:
    """Part by part; a cell's gates, whatever they are called, before what all cells have."""
    return PARTS.index(name.partition("/")[0]), name.endswith(("dead_units", "time_constant"))


def _tokens(console: "Console", title: str, gains: "Sequence[Difference]") -> None:
    """Each gain in nats, and the token at the end of its text."""
    if not gains:
        return
    _say(console, f"\n{title}:")
    for gain in gains:
        text = f"{one_line(gain.context)}[{one_line(gain.token)}]"
        _say(console, f"  {gain.gain:6.2f} nats  …{text}")


def _as_json(examined: Sequence[Examined], pairs: Sequence[Differences]) -> str:
    runs = {str(one.run.folder): one.diagnosis.to_plain() for one in examined}
    return json_text({"runs": runs, "differences": [asdict(pair) for pair in pairs]})


def _say(console: "Console", text: str) -> None:
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

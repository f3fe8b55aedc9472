"""The command line of the benchmark against peers.

    python -m benchmarks.peers [--only 'words-*'] [--contestants unrolled script] [--threads 1,2]
        [--repeats 3] [--steps N] [--target PERPLEXITY] [--quick] [--device cuda]
        [--ptb FOLDER] [--shakespeare FILE] [--output benchmarks/results/peers.json]

Each work is trained by every contestant in turn, in fresh processes; the text is the embedded
corpus where no file is named.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.contest import CONTESTANTS, contest
from benchmarks.peers.process import ContestantError
from benchmarks.peers.rate import matrix_product_rates
from benchmarks.peers.results import write
from benchmarks.peers.summary import summarize
from benchmarks.peers.table import aligned
from benchmarks.peers.texts import prepare
from benchmarks.peers.works import Work, chosen, solved

OUTPUT = Path("benchmarks/results/peers.json")
# Characters of a text for a quick look.
QUICK_TEXT = 4000


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.peers", description=__doc__.split("\n", 1)[0] if __doc__ else None
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="PATTERN", help="works such as words-* (all)")
    add("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    add("--threads", type=_numbers, default=[1], help="of each training, such as 1,2 (1)")
    add("--repeats", type=int, default=3, help="rounds, each with a seed of its own (3)")
    add("--steps", type=int, help="of each training, in place of the work's own")
    add("--target", type=float, help="the validation perplexity that is timed")
    add("--quick", action="store_true", help="tiny models and texts, to see that all works")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--ptb", type=Path, help="the folder of Penn Treebank's three files, for words-*")
    add("--shakespeare", type=Path, help="a text file, for characters-*")
    add("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}; what is there is kept")
    options = parser.parse_args(arguments)
    try:
        options.works = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: at least 1")
    if options.steps is not None and options.steps < max(work.parts for work in options.works):
        parser.error(f"--steps {options.steps}: too few to read the validation text between")
    for path in filter(None, (options.ptb, options.shakespeare)):
        if not path.exists():
            parser.error(f"{path}: no such file or folder")
    return options


def measure(
    work: Work, symbols: int, text: Path, threads: int, options: argparse.Namespace, cache: Path
) -> dict[str, Any]:
    """A work by every contestant."""
    from unrolled.training.environment import describe_environment

    work = solved(work, symbols)
    contestants = [CONTESTANTS[name] for name in options.contestants]
    notes = [one.missing for one in contestants if one.missing]
    trainings = contest(
        [one for one in contestants if not one.missing],
        lambda seed: work.job(text, seed, options.device),
        options.repeats,
        threads,
        cache,
    )
    rates = matrix_product_rates(options.device, threads)
    flops = flops_per_token(work, symbols)
    return {
        "work": work.name,
        "threads": threads,
        "device": options.device,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(),
        "vocabulary": symbols,
        "flops_per_token": flops,
        "rates": rates,
        "notes": notes,
        "contestants": summarize(trainings, rates, flops, options.target),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write it; 1 if a contestant fails."""
    options = options_of(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes: dict[str, int] = {}
        for work in options.works:
            if options.quick:
                work = work.smaller()
            if options.steps is not None:
                work = replace(work, steps=options.steps - options.steps % work.parts)
            text = folder / work.text
            if work.text not in sizes:
                limit = QUICK_TEXT if options.quick else None
                sizes[work.text] = prepare(
                    work.text, text, ptb=options.ptb, shakespeare=options.shakespeare, limit=limit
                )
            for threads in options.threads:
                print(f"{work.name}, threads: {threads}", flush=True)
                try:
                    found = measure(
                        work, sizes[work.text], text, threads, options, folder / "cache"
                    )
                except ContestantError as error:
                    print(error)
                    return 1
                write(options.output, [found])
                print(aligned([found]), *found["notes"], sep="\n", flush=True)
    print(f"wrote {options.output}")
    return 0


def flops_per_token(work: Work, symbols: int) -> int:
    """Of the forward pass, matrix products alone: the input's and the state's of each layer, and
    the output layer's."""
    gates = {"rnn_tanh": 1, "lstm": 4, "gru": 3, "min_gru": 2}[work.cell]
    inputs = [work.embedding] + [work.hidden] * (work.layers - 1)
    states = 0 if work.cell == "min_gru" else work.hidden
    layers = sum(2 * gates * work.hidden * (size + states) for size in inputs)
    return layers + 2 * work.hidden * symbols


def _numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return found


if __name__ == "__main__":
    raise SystemExit(main())

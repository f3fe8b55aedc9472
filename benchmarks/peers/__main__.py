"""The command line of the benchmark against peers.

    python -m benchmarks.peers [--only 'words-*'] [--contestants unrolled script] [--threads 1,2]
        [--repeats 3] [--sweeps 4,8] [--steps N] [--target PERPLEXITY] [--quick] [--device cuda]
        [--ptb FOLDER] [--shakespeare FILE] [--output benchmarks/results/peers.json] [--page PAGE]

Each work is trained by every contestant in turn, in fresh processes; the text is the embedded
corpus where no file is named. Measurements are added to the file as they are made, so that a long
benchmark can be made in parts.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import results
from benchmarks.peers.chart import draw
from benchmarks.peers.contest import CONTESTANTS
from benchmarks.peers.measure import Place, measure_run, measure_sweep
from benchmarks.peers.notes import notes
from benchmarks.peers.page import update
from benchmarks.peers.process import ContestantError
from benchmarks.peers.table import aligned, parts_aligned, sweeps_aligned
from benchmarks.peers.texts import prepare
from benchmarks.peers.works import SWEPT, Work, chosen

from unrolled.figures.style import DPI
from unrolled.training.threads import available_cores

OUTPUT = Path("benchmarks/results/peers.json")
THREADS = sorted({1, min(2, available_cores())})
# Characters of a text for a quick look.
QUICK_TEXT = 4000


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.peers", description=__doc__.split("\n", 1)[0] if __doc__ else None
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="PATTERN", help="works such as words-* (all)")
    add("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    add("--threads", type=_numbers, default=THREADS, help="of each training, such as 1,2")
    add("--repeats", type=int, default=3, help="rounds, each with a seed of its own (3)")
    add("--sweeps", type=_counts, default=[4, 8], help="runs of a sweep (4,8); 0: no sweep")
    add("--steps", type=int, help="of each training, in place of the work's own")
    add("--target", type=float, help="the validation perplexity that is timed")
    add("--quick", action="store_true", help="tiny models and texts, to see that all works")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--ptb", type=Path, help="the folder of Penn Treebank's three files, for words-*")
    add("--shakespeare", type=Path, help="a text file, for characters-*")
    add("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}; what is there is kept")
    add("--page", type=Path, help="a page whose measurements are replaced by the file's")
    options = parser.parse_args(arguments)
    try:
        options.works = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: at least 1")
    if options.steps is not None and options.steps < max(work.parts for work in options.works):
        parser.error(f"--steps {options.steps}: fewer than a training's parts")
    for path in filter(None, (options.ptb, options.shakespeare)):
        if not path.exists():
            parser.error(f"{path}: no such file or folder")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write them; 1 if a contestant fails."""
    options = options_of(arguments)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            for work, place in works(options, Path(temporary)):
                measure(work, place, options)
    except ContestantError as error:
        print(error)
        return 1
    found = results.read(options.output)
    if found["runs"]:
        draw(found["runs"]).savefig(options.output.with_suffix(".png"), dpi=DPI)
    if options.page is not None:
        update(options.page, found)
    print(f"wrote {options.output}")
    return 0


def works(options: argparse.Namespace, folder: Path) -> Iterator[tuple[Work, Place]]:
    """Each work in the size that it is measured in, and its prepared text."""
    sizes: dict[str, int] = {}
    for work in options.works:
        if options.quick:
            work = work.smaller()
        if options.steps is not None:
            work = replace(work, steps=options.steps - options.steps % work.parts)
        text = folder / work.text
        if work.text not in sizes:
            sizes[work.text] = prepare(
                work.text,
                text,
                ptb=options.ptb,
                shakespeare=options.shakespeare,
                limit=QUICK_TEXT if options.quick else None,
            )
        place = Place(text, sizes[work.text], folder / "cache", options.device)
        yield work.solved(place.vocabulary), place


def measure(work: Work, place: Place, options: argparse.Namespace) -> None:
    """A work alone with each number of threads, and as a sweep where it is one of those."""
    for threads in options.threads:
        print(f"{work.name}, threads: {threads}", flush=True)
        run = measure_run(
            work,
            place,
            [CONTESTANTS[name] for name in options.contestants],
            threads=threads,
            repeats=options.repeats,
            target=options.target,
        )
        results.add(options.output, "runs", run)
        print(aligned([run]), parts_aligned([run]), *notes(run), "", sep="\n", flush=True)
    for runs in options.sweeps if work.name in SWEPT else ():
        print(f"{work.name}, a sweep of {runs}", flush=True)
        found = measure_sweep(work, place, runs=runs, repeats=options.repeats)
        results.add(options.output, "sweeps", found)
        print(sweeps_aligned([found]), "", sep="\n", flush=True)


def _numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return found


def _counts(text: str) -> list[int]:
    return [] if text == "0" else _numbers(text)


if __name__ == "__main__":
    raise SystemExit(main())

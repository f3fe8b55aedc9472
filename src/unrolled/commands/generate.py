"""``unrolled generate``: text from trained runs, streamed as it is drawn, or of many prompts."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from unrolled.commands.options import add_trust, make_console, read_input, trusted_prefixes
from unrolled.config.build import OURS
from unrolled.errors import ConfigError, DataError
from unrolled.runs.text import one_line, printable
from unrolled.tasks.generation import Request, TextTask
from unrolled.training.load import StoredRun, load_trained_run


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "generate", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", default="", help="what the text begins with")
    prompts.add_argument(
        "--prompts", metavar="FILE", help="a file with a prompt in each line; - reads stdin"
    )
    parser.add_argument("--length", type=int, default=200, help="tokens at most (200)")
    parser.add_argument("--temperature", type=float, help="0 is greedy (0.8)")
    parser.add_argument("--greedy", action="store_true", help="the most probable token each time")
    parser.add_argument("--top-k", type=int, help="draw among the k most probable tokens")
    parser.add_argument("--top-p", type=float, help="draw among tokens of this total probability")
    parser.add_argument(
        "--beams", type=int, help="draw nothing: search the most probable text with so many beams"
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="P",
        help="above 1 lowers the scores of tokens that are there already (1, none)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draws (1)")
    parser.add_argument(
        "--stop-at-end-of-sentence", action="store_true", help="stop there, or at a line's end"
    )
    parser.add_argument(
        "--allow-unknown", action="store_true", help="accept a prompt that the model never saw"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--side-by-side", action="store_true", help="the runs in columns, when all are done"
    )
    shape.add_argument(
        "--json", action="store_true", help="a line of JSON for each prompt and run"
    )
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Generate text from some runs."""
    request = _request(options)
    trusted = trusted_prefixes(options)
    prompts = [options.prompt]
    if options.prompts is not None:
        text = read_input(options.prompts)
        if not text:
            raise DataError(f"{_name(options.prompts)}: empty; write a prompt in each line")
        prompts = text.removesuffix("\n").split("\n")
    elif not (options.side_by_side or options.json):
        generate_side_by_side(options.folders, request, sys.stdout, trusted)
        return 0
    place = None if options.prompts is None else _name(options.prompts)
    generated = generate_batch(options.folders, prompts, request, trusted, place)
    if options.json:
        for texts in generated:
            for one in texts:
                print(json.dumps(one.as_json(), ensure_ascii=False), flush=True)
    elif options.side_by_side:
        _print_columns(generated)
    else:
        _print_one_below_the_other(generated, sys.stdout)
    return 0


def generate_side_by_side(
    folders: Sequence[Path], request: Request, out: TextIO, trusted: Iterable[str] = OURS
) -> None:
    """Write each run's continuation of the prompt to ``out``, token by token.

    Every folder and the prompt are checked before the first token. On a terminal, control
    characters are shown as text; a pipe gets what was generated.

    Raises:
        RunError: a folder holds no trained run.
        DataError: the prompt has something that a model never saw.
        ConfigError: a run's task writes no text, or a value that no draw could use.
    """
    trusted = tuple(trusted)
    runs = [load_trained_run(folder, trusted) for folder in folders]
    tasks = [text_task(run) for run in runs]
    prompts = [
        task.encode_prompt(run.fitted, request) for run, task in zip(runs, tasks, strict=True)
    ]
    # torch comes with the model, and a wrong prompt must not wait for it.
    models = [run.best_model() for run in runs]
    texts = [
        task.continuation(run.fitted, model, prompt, request)
        for run, task, prompt, model in zip(runs, tasks, prompts, models, strict=True)
    ]
    shown = printable if out.isatty() else str
    for run, text in zip(runs, texts, strict=True):
        if len(runs) > 1:
            out.write(f"{'' if run is runs[0] else chr(10)}--- {heading(run)}\n")
        for piece in text:
            out.write(shown(piece))
            out.flush()
        out.write("\n")


@dataclass(frozen=True)
class Generated:
    """What one run made of one prompt; the text begins with the prompt as the run's tokenizer
    reads it."""

    prompt: str
    run: StoredRun
    text: str

    def as_json(self) -> dict[str, str]:
        """For a line of JSON."""
        return {"prompt": self.prompt, "run": str(self.run.folder), "text": self.text}


def generate_batch(
    folders: Sequence[Path],
    prompts: Sequence[str],
    request: Request,
    trusted: Iterable[str] = OURS,
    source: str | None = None,
) -> Iterator[list[Generated]]:
    """For each prompt, in order, each run's text; the prompts of a run are generated side by side.

    Everything is checked before this returns, and generated as it is asked for.

    Args:
        request: of each prompt; its own is not used.
        source: where the prompts were read, a prompt in each line, for messages.

    Raises:
        RunError, DataError, ConfigError: as ``generate_side_by_side``.
    """
    trusted = tuple(trusted)
    runs = [load_trained_run(folder, trusted) for folder in folders]
    tasks = [text_task(run) for run in runs]
    encoded: list[list[list[int]]] = [[] for _ in runs]
    for line, prompt in enumerate(prompts, start=1):
        for run, task, ids in zip(runs, tasks, encoded, strict=True):
            try:
                ids.append(task.encode_prompt(run.fitted, replace(request, prompt=prompt)))
            except DataError as error:
                if source is None:
                    raise
                raise DataError(f"{source}, line {line}: {error}") from error
    texts = [
        task.continuations(run.fitted, run.best_model(), ids, request)
        for run, task, ids in zip(runs, tasks, encoded, strict=True)
    ]
    return (
        [Generated(prompt, run, next(text)) for run, text in zip(runs, texts, strict=True)]
        for prompt in prompts
    )


def heading(run: StoredRun) -> str:
    """A run's name and how good it is."""
    task = run.record.description
    value = run.record.metrics.get(f"test/{task.primary}")
    if value is None:
        return printable(run.record.name)
    figure = f"test {task.primary.replace('_', ' ')} {task.metric(task.primary).written(value)}"
    return printable(f"{run.record.name} ({figure})")


def text_task(run: StoredRun) -> TextTask:
    """The run's task.

    Raises:
        ConfigError: it writes no text.
    """
    if not isinstance(run.task, TextTask):
        raise ConfigError(f"{run.folder}: task={run.task.name} writes no text")
    return run.task


def _request(options: argparse.Namespace) -> Request:
    """What was asked for.

    Raises:
        ConfigError: options that exclude one another, or a value that no generation could use.
    """
    draws = {
        "--temperature": options.temperature is not None,
        "--greedy": options.greedy,
        "--top-k": options.top_k is not None,
        "--top-p": options.top_p is not None,
    }
    typed = [flag for flag, given in draws.items() if given]
    if options.beams is not None and typed:
        raise ConfigError(
            f"--beams and {typed[0]}: a beam search takes the most probable text and draws "
            "nothing; leave one of them out"
        )
    temperature = 0.8 if options.temperature is None else options.temperature
    return Request(
        prompt=options.prompt,
        length=options.length,
        temperature=0.0 if options.greedy else temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop_at_end_of_sentence,
        allow_unknown=options.allow_unknown,
        beams=options.beams,
        repetition_penalty=options.repetition_penalty,
    )


def _print_one_below_the_other(generated: Iterable[list[Generated]], out: TextIO) -> None:
    """Each prompt with its number, and below it each run's text."""
    shown = printable if out.isatty() else str
    for number, texts in enumerate(generated, start=1):
        out.write(f"{'' if number == 1 else chr(10)}=== {number}: {one_line(texts[0].prompt)}\n")
        for text in texts:
            if len(texts) > 1:
                out.write(f"--- {heading(text.run)}\n")
            out.write(f"{shown(text.text)}\n")
        out.flush()


def _print_columns(generated: Iterable[list[Generated]]) -> None:
    """A column a run, a row a prompt."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, expand=True, show_lines=True)
    for number, texts in enumerate(generated):
        if number == 0:
            for text in texts:
                table.add_column(Text(heading(text.run)), ratio=1, overflow="fold")
        table.add_row(*(Text(printable(text.text)) for text in texts))
    make_console().print(table)


def _name(source: str) -> str:
    """Where something was read, for messages."""
    return "standard input" if source == "-" else source

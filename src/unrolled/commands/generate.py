"""``unrolled generate``: text from trained runs, streamed as it is drawn, side by side on one
prompt."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from unrolled.commands.options import add_trust, trusted_prefixes
from unrolled.config.build import OURS
from unrolled.errors import ConfigError
from unrolled.runs.text import printable
from unrolled.tasks.generation import Request, TextTask
from unrolled.training.load import StoredRun, load_run


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "generate", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument("--prompt", default="", help="what the text begins with")
    parser.add_argument("--length", type=int, default=200, help="tokens at most (200)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (0.8)")
    parser.add_argument("--greedy", action="store_true", help="the most probable token each time")
    parser.add_argument("--top-k", type=int, help="draw among the k most probable tokens")
    parser.add_argument("--top-p", type=float, help="draw among tokens of this total probability")
    parser.add_argument("--seed", type=int, default=1, help="of the draws (1)")
    parser.add_argument(
        "--stop-at-end-of-sentence", action="store_true", help="stop there, or at a line's end"
    )
    parser.add_argument(
        "--allow-unknown", action="store_true", help="accept a prompt that the model never saw"
    )
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Generate text from some runs."""
    request = Request(
        prompt=options.prompt,
        length=options.length,
        temperature=0.0 if options.greedy else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop_at_end_of_sentence,
        allow_unknown=options.allow_unknown,
    )
    generate_side_by_side(options.folders, request, sys.stdout, trusted_prefixes(options))
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
    runs = [load_run(folder, trusted) for folder in folders]
    tasks = [_text_task(run) for run in runs]
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


def heading(run: StoredRun) -> str:
    """A run's name and how good it is."""
    task = run.record.description
    value = run.record.metrics.get(f"test/{task.primary}")
    if value is None:
        return printable(run.record.name)
    figure = f"test {task.primary.replace('_', ' ')} {task.metric(task.primary).written(value)}"
    return printable(f"{run.record.name} ({figure})")


def _text_task(run: StoredRun) -> TextTask:
    if not isinstance(run.task, TextTask):
        raise ConfigError(f"{run.folder}: task={run.task.name} writes no text")
    return run.task

"""Text from trained runs: streamed as it is drawn, several runs side by side on one prompt."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from unrolled.config.build import OURS
from unrolled.errors import ConfigError
from unrolled.runs.text import printable
from unrolled.tasks.generation import Request, TextTask
from unrolled.training.load import StoredRun, load_run


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

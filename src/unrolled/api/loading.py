"""``unrolled.load``: a trained run's model and what belongs to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.api.frames import Library
from unrolled.api.host import host_as_before, own_code_as_it_is_now
from unrolled.api.run import Run
from unrolled.config.build import OURS
from unrolled.runs.record import Record

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from unrolled.data.text_tokenizer import TextTokenizer
    from unrolled.models.model import RecurrentModel
    from unrolled.tasks.task import Task


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A trained run in memory.

    Attributes:
        run: its folder, with record, metrics and status.
        model: with the weights of the best checkpoint, on the CPU, in evaluation mode. It reads
            ids ``[time, batch]`` or features ``[time, batch, features]`` and gives what its head
            reads, ``[time, batch, hidden_size]`` or ``[batch, hidden_size]``, and the states;
            ``model.head.scores`` makes scores of the former.
        tokenizer: of texts; None where the task reads none.
        task: what the run learned.
        fitted: what was fitted to the training split (a tokenizer, classes, a scaler).

    >>> import torch, unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> run = unrolled.train(tiny, cell="gru", model={"hidden_size": 16}, progress=False)
    >>> loaded = run.load()
    >>> ids = torch.from_numpy(loaded.tokenizer.encode_prompt("hello")).long()
    >>> with torch.no_grad():
    ...     hidden, states = loaded.model(ids[:, None])
    >>> tuple(hidden.shape), tuple(loaded.model.head.scores(hidden).shape)
    ((5, 1, 16), (5, 1, 9))
    """

    run: Run
    model: "RecurrentModel"
    tokenizer: "TextTokenizer | None"
    task: "Task"
    fitted: Any

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.run.folder

    @property
    def record(self) -> Record:
        """The run's whole truth."""
        return self.run.record

    @property
    def config(self) -> "DictConfig":
        """The run's configuration, complete and checked."""
        return self.run.config

    def curves(self, frame: Library | None = None) -> Any:
        """A data frame with a row for each validation: ``Run.curves``."""
        return self.run.curves(frame)

    def __repr__(self) -> str:
        return f"<LoadedRun {self.folder}: {self.model.parameter_count():,} parameters>"


def load(run: Run | Path | str, *, trust: str | Iterable[str] = ()) -> LoadedRun:
    """The trained model of a run, its tokenizer, configuration, record and curves.

    Weights are read as plain data, and nothing that is stored is executed: code outside Unrolled
    that the configuration names is refused until you say that you trust it.

    Args:
        run: a run, or its folder.
        trust: modules outside Unrolled that the configuration may name, such as ``"my_cells"``.

    Raises:
        RunError: the folder holds no trained run, or a damaged one.
        ConfigError: the configuration names code that is not trusted; the message has the module.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> run = unrolled.train(tiny, cell="gru", model={"hidden_size": 16}, progress=False)
    >>> loaded = unrolled.load(run.folder)
    >>> loaded.model.parameter_count(), loaded.config.seed
    (4665, 1)
    """
    from unrolled.data.text_tokenizer import TextTokenizer
    from unrolled.training.load import load_trained_run

    run = run if isinstance(run, Run) else Run(Path(run))
    modules = [trust] if isinstance(trust, str) else [*trust]
    trusted = [*OURS, *(f"{module}." for module in modules)]
    stored = load_trained_run(run.folder, trusted)
    with host_as_before(), own_code_as_it_is_now([stored.config] if modules else []):
        model = stored.best_model().eval()
    fitted = stored.fitted
    tokenizer = getattr(fitted, "tokenizer", fitted)
    return LoadedRun(
        run,
        model,
        tokenizer if isinstance(tokenizer, TextTokenizer) else None,
        stored.task,
        fitted,
    )

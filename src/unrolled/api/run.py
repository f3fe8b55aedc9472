"""``unrolled.Run``: one run's folder."""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.api.frames import Library, make_frame
from unrolled.runs.record import Record, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omegaconf import DictConfig

    from unrolled.api.loading import LoadedRun


@dataclass(frozen=True)
class Run:
    """A run on disk, which is read whenever something is asked of it; reading executes nothing.

    ``unrolled.train`` returns one, and ``unrolled.Run("outputs/study/name")`` is one that is there
    already.

    Attributes:
        folder: of the run.
        outcome: of the call that gave this object: ``finished``, ``skipped`` (it was finished
            before), ``pruned`` (a search gave it up), or empty where nothing was made.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> run = unrolled.train(tiny, cell="gru", model={"hidden_size": 16}, progress=False)
    >>> run.status, run.record.data["name"], run.config.cell.name
    ('finished', 'sentence', 'gru')
    >>> list(run.curves(frame="polars")["step"])
    [20]
    >>> unrolled.Run("outputs/nowhere").record
    Traceback (most recent call last):
    unrolled.errors.RunError: outputs/nowhere: no such run folder; ...
    """

    folder: Path
    outcome: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def record(self) -> Record:
        """The run's whole truth, as it is now: see ``docs/runs.md``.

        Raises:
            RunError: the folder holds no run, or a damaged one.
        """
        return read_record(self.folder)

    @property
    def name(self) -> str:
        """Of the run, which is its folder's name."""
        return self.folder.name

    @property
    def status(self) -> str:
        """``finished``, ``running``, ``failed``, ``interrupted``, ``paused`` or ``pruned``."""
        return self.record.state

    @property
    def metrics(self) -> dict[str, float]:
        """The best checkpoint's figures, named ``validation/…`` and ``test/…``; empty before the
        end of a run. Their units are in ``record.description.metrics``."""
        return self.record.metrics

    @property
    def config(self) -> "DictConfig":
        """The run's configuration, complete and checked; ``unrolled.train`` takes it.

        Raises:
            RunError: the stored one cannot be used.
        """
        from unrolled.config.stored import stored_config

        return stored_config(self.record.config, self.folder)

    def curves(self, frame: Library | None = None) -> Any:
        """A data frame with a row for each validation.

        Args:
            frame: ``pandas`` or ``polars``; None: pandas where it is installed.

        Returns:
            Columns ``step``, ``epoch``, ``seconds`` (of training so far), ``train/loss`` and the
            metrics of the validation split.

        Raises:
            RunError: the folder holds no run, or a damaged one.
        """
        return make_frame(self.record.history, frame)

    def load(self, trust: "str | Iterable[str]" = ()) -> "LoadedRun":
        """The trained model and what belongs to it: ``unrolled.load`` of this run."""
        from unrolled.api.loading import load

        return load(self, trust=trust)

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {' '.join(self._words())}>"

    def _repr_html_(self) -> str:
        words = [html.escape(word) for word in self._words()]
        return f"<b>{html.escape(str(self.folder))}</b>: {' '.join(words)}"

    def _words(self) -> list[str]:
        """Its status, and its primary metric once there is one."""
        from unrolled.errors import RunError

        try:
            record = self.record
            task = record.description
        except RunError as error:
            return [str(error)]
        skipped = " (skipped)" if self.outcome == "skipped" else ""
        words = [f"{record.state}{skipped}"]
        for split in ("validation", "test"):
            value = record.metrics.get(f"{split}/{task.primary}")
            if isinstance(value, int | float):
                words.append(f"{split}/{task.primary} {task.metric(task.primary).written(value)}")
        return words

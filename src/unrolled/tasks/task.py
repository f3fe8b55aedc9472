"""What a task is: everything that only it knows of its data, its model's ends and its metrics.

A task is a class in one file or one folder and a YAML in ``conf/task`` whose ``_target_`` names
it; the YAML's other keys are the constructor's arguments, typed by its annotations. Building a
task reads nothing and imports no torch, so that a mistake in its options is refused at once; what
needs torch imports it inside the methods. ``docs/tasks.md`` shows how to write one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from omegaconf import DictConfig

from unrolled.config.build import EVERYTHING, build
from unrolled.data.splits import Fold
from unrolled.errors import ConfigError, DataError, RunError
from unrolled.runs.figures import Figure
from unrolled.runs.task import Metric, TaskDescription
from unrolled.tasks.interface import Interface

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch import Tensor

    from unrolled.data.module import DataModule
    from unrolled.models.build import Parts
    from unrolled.models.clusters import Ids
    from unrolled.models.heads import Head


Loaded = TypeVar("Loaded")


class Data(Protocol):
    """What a task made of its data.

    Attributes:
        name: of the data set, for tables.
        fingerprint: sha256 of the content that was read or generated, before it was split or
            encoded.
        fitted: what was fitted to the training split and must be kept with the model (a tokenizer,
            a scaler); None where nothing was.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def fitted(self) -> Any: ...

    def describe(self) -> dict[str, Any]:
        """What a record says of the data besides name and fingerprint."""
        ...

    def write(self, folder: Path) -> None:
        """Write what was fitted into a run's folder, from which ``Task.restore`` reads it."""
        ...


class Evaluator(Protocol):
    """Adds up one split's metrics: a ``torchmetrics.Metric`` with this ``update``, say."""

    def update(self, head: "Head", hidden: "Tensor", targets: "Tensor") -> None:
        """Add a batch: what the head reads, ``[..., hidden_size]``, and the targets."""
        ...

    def compute(self) -> dict[str, float]:
        """Every metric of the task by its name, without the split."""
        ...


@runtime_checkable
class Draws(Protocol):
    """An evaluator that measures more than single numbers."""

    def figures(self) -> dict[str, Figure]:
        """A confusion matrix or the like by its name, of what was added up."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where a task's data comes from, as the configuration says.

    Attributes:
        dataset, tokenizer: the configuration's nodes.
        cache: a folder for what is costly to make again, keyed by content.
        trusted: prefixes of modules outside this package that the nodes may name.
        fold: of a cross-validation; None: the data is split once.
    """

    dataset: DictConfig
    tokenizer: DictConfig
    cache: Path
    trusted: Sequence[str] = EVERYTHING
    fold: Fold | None = None

    def load(self) -> Any:
        """The data set that ``dataset._target_`` loads.

        Raises:
            DataError: it cannot be read.
        """
        return build(self.dataset, trusted=self.trusted)

    def load_as(self, kind: type[Loaded], task: str) -> Loaded:
        """As ``load``, and a data set of another kind than the task takes is refused."""
        made = self.load()
        if not isinstance(made, kind):
            raise DataError(
                f"dataset={self.dataset.name}: its loader gave a {type(made).__name__}, and "
                f"task={task} takes {kind.__name__}"
            )
        return made

    def make_tokenizer(self) -> Any:
        """The tokenizer that ``tokenizer._target_`` makes, not trained yet."""
        return build(self.tokenizer, trusted=self.trusted)


class Task(ABC):
    """What a model is to learn, and how well it did.

    Attributes:
        takes: what a data set's loader must return for this task; None where the task generates
            its examples.
        metrics: how each metric is read. ``loss`` must be among them: it is what training lowers.
        primary: the metric that runs are compared by.
        headline: the metrics that TensorBoard's table of runs lists.
        uses_tokenizer: whether it reads text by a tokenizer's tokens; None: that depends on the
            data, and the task says what is wrong when it prepares that.
        uses_folds: whether ``prepare`` shares out its examples by ``sources.fold``, so that it can
            be cross-validated; the fingerprint of its data is the same for every fold.
        carries_state: whether the state goes from batch to batch, as in running text.
        appended_files: files in a run's folder that the task's callbacks add to.
        predicts_tokens: whether its targets are tokens, so that another head may be chosen
            (``conf/head``); its ``parts`` then say how many tokens there are.

    Args:
        name: of the task.
        monitor: the validation metric that early stopping, the best checkpoint and the plateau
            schedule look at; None: the primary metric.
        batch_size: sequences of a training batch, over all ranks.
        evaluation_batch_size: sequences of a batch in evaluation.

    Raises:
        ConfigError: an option out of its range, or ``monitor`` is no metric of the task.
    """

    takes: ClassVar[type | None] = None
    metrics: ClassVar[Mapping[str, Metric]] = {}
    primary: ClassVar[str] = ""
    headline: ClassVar[Sequence[str]] = ()
    uses_tokenizer: ClassVar[bool | None] = False
    uses_folds: ClassVar[bool] = False
    carries_state: ClassVar[bool] = False
    appended_files: ClassVar[Sequence[str]] = ()
    predicts_tokens: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str,
        monitor: str | None = None,
        batch_size: int = 32,
        evaluation_batch_size: int = 32,
    ) -> None:
        self.name = name
        self.monitor = monitor or f"validation/{self.primary}"
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        require_at_least(1, batch_size=batch_size, evaluation_batch_size=evaluation_batch_size)

    @abstractmethod
    def prepare(self, sources: Sources, fitted: Any = None) -> Data:
        """Read or generate the data, without torch.

        Args:
            fitted: what an earlier run fitted to its training split, to be used and not fitted
                anew.

        Raises:
            DataError: the data cannot be used; the message says which and why.
        """

    def restore(self, folder: Path) -> Any:
        """What ``Data.write`` has kept in a run's folder of what was fitted.

        Raises:
            RunError: it is missing or damaged.
        """
        return None

    @abstractmethod
    def parts(self, fitted: Any, model: DictConfig) -> "Parts":
        """Encoder, head and readout.

        Args:
            fitted: of the data, as ``prepare`` or ``restore`` gave it.
            model: the configuration's node, with ``embedding_size`` and the like.
        """

    def interface(self, fitted: Any) -> Interface:
        """How the model is used without this package, for ``unrolled export``.

        Args:
            fitted: as ``parts`` takes it.
        """
        return Interface()

    @abstractmethod
    def batches(self, data: Any, *, seed: int, overfit_batches: int | None = None) -> "DataModule":
        """The batches of each split.

        Args:
            seed: of the run, for the order of training examples.
            overfit_batches: debugging: train and validate on so many training batches.
        """

    @abstractmethod
    def evaluator(self, data: Any, split: str) -> Evaluator:
        """What adds up the metrics of a split."""

    def token_counts(self, data: Any) -> "Ids | None":
        """How often each token is a target of the training split, ``[tokens]``; None where the
        task predicts none."""
        return None

    def baselines(self, data: Any) -> dict[str, dict[str, float]]:
        """What a result must beat: for each label its figures, named ``<split>/<metric>``."""
        return {}

    def cautions(self, data: Any) -> dict[str, str]:
        """Sentences to show with a metric, by its name ``<split>/<metric>``."""
        return {}

    def training_metrics(
        self, data: Any, loss: float, predicted: "Tensor", targets: "Tensor"
    ) -> dict[str, float]:
        """What is logged of training now and then, by names without a split.

        Args:
            loss: the mean since it was last logged.
            predicted, targets: of the latest batch: the most probable classes, or values.
        """
        return {"loss": loss}

    def callbacks(self, data: Any, folder: Path, seed: int) -> "Iterable[pl.Callback]":
        """What a run does at its validations besides measuring, such as writing samples."""
        return ()

    def describe(self, data: Any = None) -> TaskDescription:
        """The task as a record has it; without ``data``, as far as its options alone tell."""
        return TaskDescription(
            self.name,
            self.primary,
            self.metrics,
            self.monitor,
            {} if data is None else self.baselines(data),
            {} if data is None else self.cautions(data),
        )


def read_kept(folder: Path, name: str) -> str:
    """A file in which ``Data.write`` has kept what was fitted.

    Raises:
        RunError: it is missing.
    """
    path = folder / name
    if not path.is_file():
        raise RunError(f"{folder}: no {name} in it; the run ended before it began to train")
    return path.read_text(encoding="utf-8")


def require_at_least(lowest: float, **options: float | None) -> None:
    """Refuse options of a task that are below ``lowest``; None is no value.

    Raises:
        ConfigError: which one.
    """
    for key, value in options.items():
        if value is not None and not value >= lowest:
            raise ConfigError(f"task.{key}={value}: must be at least {lowest:g}")

"""The type of every configuration key; the values are in ``conf/``.

The keys that every choice of a group has are typed here. A choice that builds something (a node
with a ``_target_``) has the parameters of what it builds besides, which are typed there and read
by ``unrolled.config.signatures``.
"""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class Target:
    """A node that builds an object; the data that a task makes itself has no ``_target_``."""

    name: str
    _target_: str | None = None


@dataclass
class Task(Target):
    """``monitor``: what early stopping, the best checkpoint and searches look at; None: the task's
    primary metric."""

    monitor: str | None = None


@dataclass
class Cell(Target):
    """``backend``: how the cell is run over time: the fastest exact way, its fused kernel, a
    backward pass that is written out, C code generated from its step, the plain loop, the loop in
    compiled chunks, or a scan of a linear recurrence."""

    backend: Literal["auto", "native", "analytic", "generated", "eager", "compiled", "scan"] = (
        "auto"
    )


@dataclass(frozen=True)
class Built:
    """A group whose choices build something.

    Attributes:
        common: the keys that every choice has.
        given: how many of the constructor's first parameters the program gives.
        own: whether a person may name a class or function of their own on the command line, with
            its options as ``+group.key=value``.
    """

    common: type
    given: int = 0
    own: bool = True


BUILT = {
    "task": Built(Task),
    "dataset": Built(Target),
    "tokenizer": Built(Target),
    "cell": Built(Cell, given=2),
    "head": Built(Target, given=3, own=False),
    "optimizer": Built(Target, given=1, own=False),
    "scheduler": Built(Target, given=2, own=False),
}

# A task that makes its examples itself reads nothing.
WITHOUT_TARGET = ("dataset", "tokenizer")


@dataclass
class Validation:
    """Whether the data is split once, or into folds of which each run holds one out.

    ``holds_out`` is the split that a fold is; None without folds.
    """

    name: Literal["holdout", "kfold"]
    holds_out: Literal["test", "validation"] | None


@dataclass
class Model:
    """The network around the cell."""

    name: str
    embedding_size: int
    hidden_size: int
    last_layer_size: int | None
    layers: int
    tied_weights: bool
    dropout: float
    embedding_dropout: float
    layer_dropout: float
    output_dropout: float
    locked_dropout: bool
    recurrent_dropout: float
    weight_dropout: float
    zoneout: float
    word_dropout: float
    activation_regularization: float
    temporal_activation_regularization: float
    residual: bool
    recompute: bool
    initialization: Literal["default", "uniform", "orthogonal"]
    initialization_range: float
    forget_bias: float | None


@dataclass
class Budget:
    """What a hidden size is solved for."""

    name: str
    parameters: int | None
    flops: int | None
    tolerance: float


@dataclass
class Trainer:
    """``strategy``: one process, or one per device with averaged gradients; ``precision``: of the
    forward and backward pass, the weights being kept in fp32."""

    name: str
    accelerator: Literal["cpu", "gpu"]
    strategy: Literal["single", "ddp"]
    devices: int
    precision: Literal["auto", "fp32", "bf16"]
    threads: int | None
    max_steps: int | None
    max_epochs: int | None
    validate_every_steps: int | None
    early_stopping_patience: int | None
    gradient_clip: float | None
    log_every_steps: int
    checkpoint_every_steps: int | None
    checkpoint_every_minutes: float | None
    deterministic: bool
    limit_batches: int | None
    overfit_batches: int | None
    profiler: Literal["simple", "advanced"] | None


@dataclass
class Logger:
    """What is written besides the record; ``project``, ``workspace``, ``offline`` and
    ``tracking_uri`` are of trackers (W&B, MLflow, Comet)."""

    tensorboard: bool
    csv: bool
    wandb: bool
    mlflow: bool
    comet: bool
    project: str | None
    workspace: str | None
    offline: bool
    tracking_uri: str | None


@dataclass
class Diagnostics:
    """What is looked into during training: at each so many validations, on so many tokens."""

    every_validations: int | None
    tokens: int


@dataclass
class Paths:
    """Where runs are written, and tokenized text is kept."""

    outputs: str
    cache: str | None


@dataclass
class Trial:
    """Which trial of a search a run is, if any; the sweeper fills it in.

    ``storage`` and ``search`` are where Optuna keeps the search and what it is called there,
    ``number`` is the trial's, ``objectives`` is what the search judges its trials by.

    In a fair study ``role`` says whether a run belongs to the search or is a final run of the
    trial that was best, ``space`` lists what was searched, as overrides, ``trials`` is how many
    the search has, and ``until`` the share of its steps after which the run waits for the others.
    """

    storage: str | None
    search: str | None
    number: int | None
    objectives: list[str] | None
    role: Literal["search", "final"] | None = None
    space: list[str] | None = None
    trials: int | None = None
    until: float | None = None


@dataclass
class Config:
    """The whole configuration of a run; ``Any`` where a group is one of ``BUILT``."""

    study: str
    seed: int
    folds: int | None
    fold: int | None
    workers: int | None
    retry_failed: bool | None
    fail_fast: bool
    time_limit_minutes: float | None
    trial: Trial
    name_by: list[str]
    paths: Paths
    task: Any
    dataset: Any
    tokenizer: Any
    validation: Validation
    cell: Any
    model: Model
    head: Any
    budget: Budget
    optimizer: Any
    scheduler: Any
    trainer: Trainer
    logger: Logger
    diagnostics: Diagnostics
    published: Any = None

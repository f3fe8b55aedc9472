"""The type of every configuration key; the values are in ``conf/``.

A dataclass here is the schema of one choice of one group. Each YAML file names its schema first in
its defaults list (``- schema``, or the choice's own), so Hydra refuses a key that is not here and
a value that does not have its type. Nothing heavy is imported: the schema is checked before torch
is.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf


class Accelerator(Enum):
    """Where a run trains."""

    cpu = "cpu"
    gpu = "gpu"


class Strategy(Enum):
    """How many processes train one model: one, or one per device with averaged gradients."""

    single = "single"
    ddp = "ddp"


class Precision(Enum):
    """The number format of the forward and backward pass; weights are always kept in fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Backend(Enum):
    """How a cell is run over time: the fastest exact way, its fused kernel, the plain loop, the
    loop in compiled chunks, or a scan of a linear recurrence."""

    auto = "auto"
    native = "native"
    eager = "eager"
    compiled = "compiled"
    scan = "scan"


class Initialization(Enum):
    """How weights start: as each cell's paper or PyTorch has it, uniform, or orthogonal."""

    default = "default"
    uniform = "uniform"
    orthogonal = "orthogonal"


# StrEnum: a cell takes these options as words, and imports no configuration.
class Candidate(StrEnum):
    """What ``min_gru`` and ``min_lstm`` write to the state: a linear map, or one made positive."""

    linear = "linear"
    positive = "positive"


class ForgetGate(StrEnum):
    """The function of sLSTM's forget gate."""

    sigmoid = "sigmoid"
    exp = "exp"


class Activation(StrEnum):
    """What LRU's output goes through."""

    gelu = "gelu"
    none = "none"


class Punctuation(Enum):
    """What the word tokenizer does with characters that are neither letters, digits nor spaces."""

    keep = "keep"
    split = "split"
    drop = "drop"


@dataclass
class Target:
    """A configuration node that builds an object: what every choice with code behind it has."""

    name: str = MISSING
    _target_: str = MISSING


@dataclass
class SotuDataset(Target):
    first_year: int = MISSING
    last_year: int = MISSING


@dataclass
class TextDataset(Target):
    path: str = MISSING
    validation_path: str | None = MISSING
    test_path: str | None = MISSING
    validation_fraction: float = MISSING
    test_fraction: float = MISSING
    encoding: str = MISSING


@dataclass
class SplitsDataset(Target):
    path: str = MISSING
    encoding: str = MISSING


@dataclass
class HubDataset(Target):
    path: str = MISSING
    subset: str | None = MISSING
    column: str = MISSING
    train_split: str = MISSING
    validation_split: str = MISSING
    test_split: str = MISSING
    data_files: dict[str, str] | None = MISSING
    revision: str | None = MISSING
    separator: str = MISSING


@dataclass
class CharTokenizer(Target):
    minimum_count: int = MISSING
    lowercase: bool = MISSING


@dataclass
class ByteTokenizer(Target):
    pass


@dataclass
class WordTokenizer(Target):
    vocabulary_size: int | None = MISSING
    minimum_count: int = MISSING
    strip_html: bool = MISSING
    lowercase: bool = MISSING
    punctuation: Punctuation = MISSING
    end_of_sentence: bool = MISSING


@dataclass
class BpeTokenizer(Target):
    vocabulary_size: int = MISSING
    minimum_count: int = MISSING
    lowercase: bool = MISSING


@dataclass
class Cell(Target):
    backend: Backend = MISSING


@dataclass
class IRNNCell(Cell):
    scale: float = MISSING
    input_std: float = MISSING


@dataclass
class LSTMCell(Cell):
    projection_size: int | None = MISSING


@dataclass
class LSTMMogrifierCell(Cell):
    rounds: int = MISSING
    rank: int | None = MISSING


@dataclass
class GRUResetBeforeCell(Cell):
    bias: bool = MISSING


@dataclass
class UGRNNCell(Cell):
    gate_bias: float = MISSING


@dataclass
class RHNCell(Cell):
    depth: int = MISSING
    transform_bias: float = MISSING
    initial_range: float = MISSING


@dataclass
class IndRNNCell(Cell):
    recurrent_min: float = MISSING
    recurrent_max: float = MISSING
    recurrent_bound: float | None = MISSING


@dataclass
class SRUCell(Cell):
    highway_bias: float = MISSING


@dataclass
class QRNNCell(Cell):
    window: int = MISSING


@dataclass
class MinimalCell(Cell):
    candidate: Candidate = MISSING


@dataclass
class SLSTMCell(Cell):
    heads: int = MISSING
    forget_gate: ForgetGate = MISSING


@dataclass
class LRUCell(Cell):
    r_min: float = MISSING
    r_max: float = MISSING
    max_phase: float = MISSING
    activation: Activation = MISSING


@dataclass
class Model:
    name: str = MISSING
    embedding_size: int = MISSING
    hidden_size: int = MISSING
    layers: int = MISSING
    tied_weights: bool = MISSING
    dropout: float = MISSING
    embedding_dropout: float = MISSING
    layer_dropout: float = MISSING
    output_dropout: float = MISSING
    locked_dropout: bool = MISSING
    recurrent_dropout: float = MISSING
    weight_dropout: float = MISSING
    zoneout: float = MISSING
    residual: bool = MISSING
    recompute: bool = MISSING
    initialization: Initialization = MISSING
    initialization_range: float = MISSING
    forget_bias: float | None = MISSING


@dataclass
class Budget:
    name: str = MISSING
    parameters: int | None = MISSING
    flops: int | None = MISSING
    tolerance: float = MISSING


@dataclass
class Sample:
    prompt: str | None = MISSING
    length: int = MISSING
    temperature: float = MISSING


@dataclass
class LanguageModeling(Target):
    batch_size: int = MISSING
    sequence_length: int = MISSING
    evaluation_batch_size: int = MISSING
    evaluation_sequence_length: int = MISSING
    monitor: str = MISSING
    sample: Sample = field(default_factory=Sample)


@dataclass
class Optimizer(Target):
    lr: float = MISSING
    weight_decay: float = MISSING


@dataclass
class AdamOptimizer(Optimizer):
    betas: list[float] = MISSING
    eps: float = MISSING


@dataclass
class SgdOptimizer(Optimizer):
    momentum: float = MISSING
    nesterov: bool = MISSING


@dataclass
class RmspropOptimizer(Optimizer):
    alpha: float = MISSING
    momentum: float = MISSING
    eps: float = MISSING


@dataclass
class ConstantSchedule(Target):
    warmup_steps: int = MISSING


@dataclass
class CosineSchedule(ConstantSchedule):
    final_fraction: float = MISSING


@dataclass
class DecaySchedule(Target):
    factor: float = MISSING
    first_epoch: int = MISSING


@dataclass
class StepSchedule(DecaySchedule):
    every_epochs: int = MISSING


@dataclass
class PlateauSchedule(Target):
    factor: float = MISSING
    patience: int = MISSING
    minimum_lr: float = MISSING


@dataclass
class Trainer:
    name: str = MISSING
    accelerator: Accelerator = MISSING
    strategy: Strategy = MISSING
    devices: int = MISSING
    precision: Precision = MISSING
    threads: int | None = MISSING
    max_steps: int | None = MISSING
    max_epochs: int | None = MISSING
    validate_every_steps: int | None = MISSING
    early_stopping_patience: int | None = MISSING
    gradient_clip: float | None = MISSING
    log_every_steps: int = MISSING
    checkpoint_every_steps: int | None = MISSING
    checkpoint_every_minutes: float | None = MISSING
    deterministic: bool = MISSING
    limit_batches: int | None = MISSING
    overfit_batches: int | None = MISSING
    profiler: str | None = MISSING


@dataclass
class Logger:
    tensorboard: bool = MISSING
    csv: bool = MISSING


@dataclass
class Paths:
    outputs: str = MISSING
    cache: str | None = MISSING


@dataclass
class Trial:
    """Which trial of a search a run is, if any; the sweeper fills it in.

    ``storage`` and ``search`` are where Optuna keeps the search and what it is called there,
    ``number`` is the trial's, ``objectives`` is what the search judges its trials by.
    """

    storage: str | None = None
    search: str | None = None
    number: int | None = None
    objectives: list[str] | None = None


@dataclass
class Config:
    """The whole configuration of a run. Groups whose choices differ in their keys are ``Any``
    here."""

    study: str = MISSING
    seed: int = MISSING
    workers: int | None = MISSING
    retry_failed: bool | None = MISSING
    fail_fast: bool = MISSING
    time_limit_minutes: float | None = MISSING
    trial: Trial = field(default_factory=Trial)
    name_by: list[str] = MISSING
    published: Any = None
    paths: Paths = field(default_factory=Paths)
    task: Any = MISSING
    dataset: Any = MISSING
    tokenizer: Any = MISSING
    cell: Any = MISSING
    model: Model = field(default_factory=Model)
    budget: Budget = field(default_factory=Budget)
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Trainer = field(default_factory=Trainer)
    logger: Logger = field(default_factory=Logger)


SCHEMAS: dict[str, dict[str, Any]] = {
    "dataset": {
        "sotu": SotuDataset,
        "text": TextDataset,
        "splits": SplitsDataset,
        "hub": HubDataset,
    },
    "tokenizer": {
        "char": CharTokenizer,
        "byte": ByteTokenizer,
        "word": WordTokenizer,
        "bpe": BpeTokenizer,
    },
    "cell": {
        "cell": Cell,
        "irnn": IRNNCell,
        "lstm": LSTMCell,
        "lstm_mogrifier": LSTMMogrifierCell,
        "gru_reset_before": GRUResetBeforeCell,
        "ugrnn": UGRNNCell,
        "rhn": RHNCell,
        "indrnn": IndRNNCell,
        "sru": SRUCell,
        "qrnn": QRNNCell,
        "min_gru": MinimalCell,
        "min_lstm": MinimalCell,
        "slstm": SLSTMCell,
        "lru": LRUCell,
    },
    "task": {"language_modeling": LanguageModeling},
    "optimizer": {"adam": AdamOptimizer, "sgd": SgdOptimizer, "rmsprop": RmspropOptimizer},
    "scheduler": {
        "constant": ConstantSchedule,
        "cosine": CosineSchedule,
        "exponential": DecaySchedule,
        "step": StepSchedule,
        "plateau": PlateauSchedule,
    },
}


def _class_name(*, _parent_: DictConfig) -> str:
    """The last part of the ``_target_`` beside the key."""
    missing = OmegaConf.is_missing(_parent_, "_target_")
    return "custom" if missing else str(_parent_._target_).rpartition(".")[2]


def register_schemas() -> None:
    """Put every schema into Hydra's store, as ``schema`` and as ``<group>/schema_<choice>``, and
    the resolver that names a cell of one's own after its class."""
    OmegaConf.register_new_resolver("class_name", _class_name, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, schemas in SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group=group, name=f"schema_{name}", node=node)

"""``--dynamic``, ``--cache`` and ``--tune`` of ``unrolled evaluate``: what is asked for, and which
values are best on validation."""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any, get_type_hints

from omegaconf import DictConfig

from unrolled.config.hyperparameters import typed_value
from unrolled.errors import ConfigError
from unrolled.tasks.adaptation import Adaptation, Adapter, Adapts, DynamicEvaluation, NeuralCache
from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Console

# What --tune tries of options that are not given; the rates are for segments of five tokens.
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "rms": {"lr": (0.00003, 0.00006, 0.0001, 0.0003), "decay": (0.001, 0.002, 0.005)},
    "sgd": {"lr": (0.03, 0.1, 0.3, 1.0), "decay": (0.0, 0.001, 0.01)},
    "cache": {"theta": (0.1, 0.3, 1.0), "lambda_": (0.05, 0.1, 0.2)},
}
# A rate that the first value of the grid takes the place of.
ANY_RATE = 1.0


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    Attributes:
        given: for each of the two the options that were given, which are not tuned.
        tune: whether the others are chosen by validation.
    """

    adaptation: Adaptation
    given: dict[str, tuple[str, ...]]
    tune: bool = False


@dataclass(frozen=True)
class Adapted:
    """The figures of a model that adapted, apart from those of the model as it was trained.

    Attributes:
        options: of ``dynamic`` and ``cache``, as they were used.
        metrics: named ``<split>/<metric>``.
        tried: how many settings were compared on validation; 0: none.
    """

    options: dict[str, dict[str, Any]]
    metrics: dict[str, float]
    tried: int = 0


def request_of(options: argparse.Namespace) -> Request | None:
    """What the command line asks for; None where it asks for nothing.

    Raises:
        ConfigError: an unknown option, or a value that it cannot have.
    """
    return make_request(options.dynamic, options.cache, tune=options.tune)


def make_request(
    dynamic: Sequence[str] | None, cache: Sequence[str] | None, *, tune: bool = False
) -> Request | None:
    """A request from words such as ``lr=0.1``; None for what is not asked for.

    Raises:
        ConfigError: as ``request_of``.
    """
    if dynamic is None and cache is None:
        if tune:
            raise ConfigError("--tune: add what is to be tuned, --dynamic, --cache or both")
        return None
    given: dict[str, tuple[str, ...]] = {}
    parts: dict[str, Any] = {}
    for name, words, kind in (
        ("dynamic", dynamic, DynamicEvaluation),
        ("cache", cache, NeuralCache),
    ):
        if words is None:
            continue
        values = _values(words, kind, f"--{name}")
        given[name] = tuple(values)
        if tune and values.get("rule") == "sgd":
            values.setdefault("lr", ANY_RATE)
        parts[name] = kind(**values)
    return Request(Adaptation(**parts), given, tune)


def require_adapts(task: Task, config: DictConfig) -> Adapts:
    """The task, where its models can adapt.

    Raises:
        ConfigError: they cannot, or not all of a split is to be read.
    """
    if not isinstance(task, Adapts):
        raise ConfigError(
            f"--dynamic and --cache: task={task.name} reads no running text to adapt to"
        )
    if config.trainer.limit_batches is not None:
        raise ConfigError(
            f"trainer.limit_batches={config.trainer.limit_batches}: --dynamic and --cache read "
            "whole splits; add trainer.limit_batches=null before them"
        )
    return task


def adapted(adapter: Adapter, request: Request, splits: Sequence[str]) -> Adapted:
    """Evaluate the splits as asked for; if it is to be tuned, by validation and before them."""
    adaptation, tried = request.adaptation, 0
    if request.tune:
        adaptation, tried = tuned(adapter, request)
    metrics = {
        f"{split}/{name}": value
        for split in splits
        for name, value in adapter.evaluate(split, adaptation).items()
    }
    return Adapted(adaptation.describe(), metrics, tried)


def tuned(adapter: Adapter, request: Request) -> tuple[Adaptation, int]:
    """The adaptation with the lowest loss on validation, and how many were tried: dynamic
    evaluation alone first, then the cache with it."""
    asked, tried = request.adaptation, 0
    best = Adaptation()
    for name in ("dynamic", "cache"):
        part = getattr(asked, name)
        if part is None:
            continue
        choices = [replace(best, **{name: one}) for one in _grid(name, part, request.given[name])]
        losses = [adapter.evaluate("validation", choice)["loss"] for choice in choices]
        # Steps that are too large end in what is not a number, which compares as neither.
        losses = [math.inf if math.isnan(loss) else loss for loss in losses]
        best = choices[min(range(len(losses)), key=losses.__getitem__)]
        tried += len(choices)
    return best, tried


def print_adapted(found: Adapted, console: "Console") -> None:
    """Print a table of its own, with the options that were used above it."""
    from rich.table import Table

    for name, options in found.options.items():
        written = " ".join(f"{key}={value}" for key, value in options.items())
        console.print(f"--{name} {written}", highlight=False, soft_wrap=True)
    table = Table(title="adapted to the text that was read")
    splits = list(dict.fromkeys(name.partition("/")[0] for name in found.metrics))
    table.add_column("metric")
    for split in splits:
        table.add_column(split, justify="right")
    for metric in dict.fromkeys(name.partition("/")[2] for name in found.metrics):
        row = [f"{found.metrics[f'{split}/{metric}']:.6f}" for split in splits]
        table.add_row(metric.replace("_", " "), *row)
    console.print(table)
    if found.tried:
        console.print(f"the best of {found.tried} settings on validation", highlight=False)


def _grid(name: str, part: Any, given: Sequence[str]) -> Iterator[Any]:
    grid = GRIDS[part.rule if name == "dynamic" else name]
    free = {key: values for key, values in grid.items() if key not in given}
    for values in product(*free.values()):
        yield replace(part, **dict(zip(free, values, strict=True)))


def _values(words: Sequence[str], kind: type, flag: str) -> dict[str, Any]:
    types = get_type_hints(kind)
    names = {field.name.rstrip("_"): field.name for field in fields(kind)}
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in names:
            raise ConfigError(
                f"{flag} {word}: its options are {', '.join(f'{one}=…' for one in names)}; keys "
                f"of the configuration come before {flag}"
            )
        values[names[key]] = typed_value(value, types[names[key]], f"{flag} {key}")
    return values

"""``unrolled evaluate``: a finished run again, on its own data exactly the recorded figures, or on
other data."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from unrolled.commands.adapting import (
    Adapted,
    Request,
    adapted,
    print_adapted,
    request_of,
    require_adapts,
)
from unrolled.commands.options import FAILED, add_trust, make_console, trusted_prefixes
from unrolled.commands.reproduce import changed
from unrolled.config.build import EVERYTHING, OURS
from unrolled.config.compose import apply_overrides, compose_run
from unrolled.errors import ConfigError
from unrolled.runs.identity import plain
from unrolled.runs.task import TaskDescription
from unrolled.runs.text import printable
from unrolled.tasks.build import sources
from unrolled.tasks.task import Data
from unrolled.training.load import StoredRun, load_trained_run

# What an evaluation can change; anything else would be another model, or training.
CHANGEABLE = (
    "dataset",
    "task.evaluation_batch_size",
    "task.evaluation_sequence_length",
    "task.evaluation_warm_up",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.threads",
    "trainer.limit_batches",
)


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "evaluate", allow_abbrev=False, help=summary
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as dataset.path=…")
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        action="append",
        help="default: validation and test",
    )
    parser.add_argument(
        "--dynamic",
        nargs="*",
        metavar="key=value",
        help="dynamic evaluation besides: rule=rms|sgd lr=… decay=… steps=… statistics=…",
    )
    parser.add_argument(
        "--cache",
        nargs="*",
        metavar="key=value",
        help="a neural cache besides: size=… theta=… lambda=…",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="choose what is not given of --dynamic and --cache by the validation loss",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Evaluate a run and print its figures."""
    evaluation = evaluate(
        options.folder,
        options.overrides,
        splits=options.split or ["validation", "test"],
        trusted=trusted_prefixes(options),
        adaptation=request_of(options),
    )
    print_evaluation(evaluation, make_console(), as_json=options.json)
    return FAILED if evaluation.failed else 0


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a run's best checkpoint.

    Attributes:
        task: what the metrics mean.
        metrics: named ``<split>/<metric>``.
        recorded: those of the run's record that are about the same data, to compare them with.
        fingerprint: of the data that was evaluated.
        as_recorded: whether data and options are those of the record, so that the figures should
            be, too.
        changes: what is not as the record has it, as it was and as it is.
        adapted: the figures of the model when it adapts to the text, if they were asked for.
    """

    run: str
    task: TaskDescription
    metrics: dict[str, float]
    recorded: dict[str, float]
    fingerprint: str
    same_data: bool
    as_recorded: bool = True
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    adapted: Adapted | None = None

    @property
    def identical(self) -> bool:
        """Whether every figure that the record has, too, came out the same to the last digit."""
        return bool(self.recorded) and all(
            self.metrics[name] == value for name, value in self.recorded.items()
        )

    @property
    def failed(self) -> bool:
        """Whether figures that should be the recorded ones are not."""
        return self.as_recorded and bool(self.recorded) and not self.identical


def evaluate(
    folder: Path,
    overrides: Sequence[str] = (),
    splits: Sequence[str] = ("validation", "test"),
    trusted: Iterable[str] = OURS,
    adaptation: Request | None = None,
) -> Evaluation:
    """Evaluate the best checkpoint of a run by the run's own stored configuration.

    Args:
        overrides: other data (``dataset=text dataset.path=…``) or another way to evaluate.
        trusted: prefixes of modules outside this package that the configuration may name.
        adaptation: evaluated besides, and reported apart.

    Raises:
        RunError: the folder holds no trained run.
        ConfigError: an override that is unknown, or that would change the model; a task whose
            models cannot adapt.
        DataError: the data cannot be read.
    """
    trusted = tuple(trusted)
    run = load_trained_run(folder, trusted)
    config = changed_config(run.config, overrides)
    if adaptation is not None:
        require_adapts(run.task, config)
    # The data set's loader is the person's to name, where they named it.
    named = any(o.startswith(("dataset=", "dataset._target_=")) for o in overrides)
    where = sources(config, config.paths.cache, EVERYTHING if named else trusted)
    data = run.task.prepare(where, run.fitted)
    metrics, besides = _evaluate(run, config, data, splits, adaptation)
    same_data = data.fingerprint == run.record.data.get("fingerprint")
    recorded = {
        name: value for name, value in run.record.metrics.items() if same_data and name in metrics
    }
    evaluation = Evaluation(
        run.record.name,
        run.record.description,
        metrics,
        recorded,
        data.fingerprint,
        same_data,
        as_recorded=same_data and not overrides,
        adapted=besides,
    )
    return replace(evaluation, changes=_changes(run, data)) if evaluation.failed else evaluation


def print_evaluation(evaluation: Evaluation, console: Console, *, as_json: bool = False) -> None:
    """Print a row for each metric with its splits beside one another, and what was recorded where
    that is something else."""
    if as_json:
        print(json.dumps({**asdict(evaluation), "task": evaluation.task.name}, indent=1))
        return
    splits = list(dict.fromkeys(name.partition("/")[0] for name in evaluation.metrics))
    table = Table(title=printable(evaluation.run))
    table.add_column("metric")
    for split in splits:
        table.add_column(split, justify="right")
        if evaluation.recorded and not evaluation.identical:
            table.add_column("recorded", justify="right")
    for metric in dict.fromkeys(name.partition("/")[2] for name in evaluation.metrics):
        cells = []
        for split in splits:
            cells.append(f"{evaluation.metrics[f'{split}/{metric}']:.6f}")
            if evaluation.recorded and not evaluation.identical:
                value = evaluation.recorded.get(f"{split}/{metric}")
                cells.append("-" if value is None else f"{value:.6f}")
        table.add_row(metric.replace("_", " "), *cells)
    console.print(table)
    for key, (before, now) in evaluation.changes.items():
        line = printable(f"{key}: {before} then, {now} now")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not evaluation.same_data:
        console.print("on other data than the run's record is about", highlight=False)
    elif evaluation.recorded:
        same = (
            "exactly the recorded figures" if evaluation.identical else "not the recorded figures"
        )
        console.print(same, highlight=False)
    if evaluation.adapted is not None:
        print_adapted(evaluation.adapted, console)


def changed_config(
    config: DictConfig,
    overrides: Sequence[str],
    changeable: Sequence[str] = CHANGEABLE,
    by: str = "an evaluation",
) -> DictConfig:
    """A run's configuration with other data, or another way to read it.

    Raises:
        ConfigError: a key that is unknown, or not among ``changeable``.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if not any(key == name or key.startswith(f"{name}.") for name in changeable):
            raise ConfigError(
                f"{key}: {by} does not change it; it can change {', '.join(changeable)}"
            )
    choices = [o for o in overrides if o.startswith("dataset")]
    if any(o.startswith("dataset=") for o in choices):
        config = config.copy()
        config.dataset = plain(compose_run(choices)).dataset
        overrides = [o for o in overrides if o not in choices]
    return apply_overrides(config, overrides)


def _changes(run: StoredRun, data: Data) -> dict[str, tuple[Any, Any]]:
    """What is not as the record has it, and may be why its figures are not."""
    from unrolled.training.environment import describe_environment

    now = {"name": data.name, "fingerprint": data.fingerprint, **data.describe()}
    return {
        **{f"data.{key}": pair for key, pair in changed(run.record.data, now).items()},
        **changed(run.record.environment, describe_environment(run.config) | _same(run)),
    }


def _same(run: StoredRun) -> dict[str, Any]:
    """What an evaluation takes from the record, and so cannot have changed."""
    return {key: run.record.environment.get(key) for key in ("device", "threads")}


def _evaluate(
    run: StoredRun,
    config: DictConfig,
    data: Data,
    splits: Sequence[str],
    adaptation: Request | None = None,
) -> tuple[dict[str, float], Adapted | None]:
    import torch

    from unrolled.tasks.build import build_task
    from unrolled.training.checkpoints import best_checkpoint, load_weights
    from unrolled.training.devices import device_of, require_devices
    from unrolled.training.fit import make_batches, make_module, run_length
    from unrolled.training.precision import resolved_precision
    from unrolled.training.trainer import make_evaluator, silence_lightning

    require_devices(config.trainer)
    silence_lightning()
    # The order of a sum over threads decides its last digits.
    torch.set_num_threads(config.trainer.threads or run.record.environment["threads"])
    task = build_task(config.task, run.trusted)
    batches = make_batches(config, task, data)
    length = run_length(config, task, batches)
    module = make_module(run.of_its_width(config), task, data, length, run.trusted)
    load_weights(module, best_checkpoint(run.folder))
    precision = resolved_precision(
        config.trainer, module.model, task.batch_size, run.record.model.get("precision")
    )
    trainer = make_evaluator(config, precision)
    metrics = {}
    for split in splits:
        module.tested_split = split
        trainer.test(module, batches.evaluation_dataloader(split), verbose=False)
        metrics.update(module.results[split])
    if adaptation is None:
        return metrics, None
    model = module.model.to(device_of(config.trainer))
    return metrics, adapted(require_adapts(task, config).adapter(data, model), adaptation, splits)

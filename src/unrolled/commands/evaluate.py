"""``unrolled evaluate``: a finished run again, on its own data exactly the recorded figures, or on
other data."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from unrolled.commands.options import add_trust, make_console, trusted_prefixes
from unrolled.config.build import EVERYTHING, OURS, build
from unrolled.config.compose import apply_overrides, compose_run
from unrolled.data.corpus import Corpus
from unrolled.data.tokens import TokenizedCorpus, tokenize
from unrolled.errors import ConfigError
from unrolled.runs.identity import plain
from unrolled.training.load import StoredRun, load_run

# What an evaluation can change; anything else would be another model, or training.
CHANGEABLE = (
    "dataset",
    "task.evaluation_batch_size",
    "task.evaluation_sequence_length",
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
    )
    print_evaluation(evaluation, make_console(), as_json=options.json)
    return 0


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a run's best checkpoint.

    Attributes:
        metrics: named ``<split>/<metric>``.
        recorded: those of the run's record that are about the same data, to hold them against.
        fingerprint: of the text that was evaluated.
    """

    run: str
    metrics: dict[str, float]
    recorded: dict[str, float]
    fingerprint: str
    same_data: bool

    @property
    def identical(self) -> bool:
        """Whether every figure that the record has, too, came out the same to the last digit."""
        return bool(self.recorded) and all(
            self.metrics[name] == value for name, value in self.recorded.items()
        )


def evaluate(
    folder: Path,
    overrides: Sequence[str] = (),
    splits: Sequence[str] = ("validation", "test"),
    trusted: Iterable[str] = OURS,
) -> Evaluation:
    """Evaluate the best checkpoint of a run by the run's own stored configuration.

    Args:
        overrides: other data (``dataset=text dataset.path=…``) or another way to evaluate.
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        RunError: the folder holds no trained run.
        ConfigError: an override that is unknown, or that would change the model.
        DataError: the data cannot be read.
    """
    run = load_run(folder)
    config = _changed(run.config, overrides)
    # The data set's loader is the person's to name, where they named it.
    named = any(o.startswith(("dataset=", "dataset._target_=")) for o in overrides)
    corpus = build(config.dataset, trusted=EVERYTHING if named else trusted)
    assert isinstance(corpus, Corpus)
    data = tokenize(corpus, run.tokenizer)
    metrics = _evaluate(run, config, data, splits, trusted)
    same_data = corpus.fingerprint == run.record.data.get("fingerprint")
    recorded = {
        name: value for name, value in run.record.metrics.items() if same_data and name in metrics
    }
    return Evaluation(run.record.name, metrics, recorded, corpus.fingerprint, same_data)


def print_evaluation(evaluation: Evaluation, console: Console, *, as_json: bool = False) -> None:
    """Print the figures, beside the recorded ones where there are any."""
    if as_json:
        print(json.dumps(evaluation.__dict__, indent=1))
        return
    table = Table(title=evaluation.run)
    table.add_column("metric")
    table.add_column("now", justify="right")
    if evaluation.recorded:
        table.add_column("recorded", justify="right")
    for name, value in evaluation.metrics.items():
        recorded = evaluation.recorded.get(name)
        cells = [] if recorded is None else [f"{recorded:.6f}"]
        table.add_row(name, f"{value:.6f}", *cells)
    console.print(table)
    if not evaluation.same_data:
        console.print("on other data than the run's record is about", highlight=False)
    elif evaluation.recorded:
        same = (
            "exactly the recorded figures" if evaluation.identical else "not the recorded figures"
        )
        console.print(same, highlight=False)


def _changed(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    for override in overrides:
        key = override.partition("=")[0]
        if not any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE):
            raise ConfigError(
                f"{key}: an evaluation does not change it; it can change {', '.join(CHANGEABLE)}"
            )
    choices = [o for o in overrides if o.startswith("dataset")]
    if any(o.startswith("dataset=") for o in choices):
        config = config.copy()
        config.dataset = plain(compose_run(choices)).dataset
        overrides = [o for o in overrides if o not in choices]
    return apply_overrides(config, overrides)


def _evaluate(
    run: StoredRun,
    config: DictConfig,
    data: TokenizedCorpus,
    splits: Sequence[str],
    trusted: Iterable[str],
) -> dict[str, float]:
    import torch

    from unrolled.training.checkpoints import best_checkpoint, load_weights
    from unrolled.training.devices import require_devices
    from unrolled.training.fit import make_batches, make_task, run_length
    from unrolled.training.trainer import make_evaluator, quiet

    require_devices(config.trainer)
    quiet()
    # The order of a sum over threads decides its last digits.
    torch.set_num_threads(config.trainer.threads or run.record.environment["threads"])
    batches = make_batches(config, data)
    length = run_length(config, batches)
    task = make_task(run.of_its_width(config), data, length, trusted)
    load_weights(task, best_checkpoint(run.folder))
    trainer = make_evaluator(config)
    metrics = {}
    for split in splits:
        task.tested_split = split
        trainer.test(task, batches.evaluation_dataloader(split), verbose=False)
        metrics.update(task.results[split])
    return metrics

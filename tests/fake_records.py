"""A pytest plugin of fake records: what training writes, without the training."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from unrolled.runs.record import Record

if TYPE_CHECKING:
    from unrolled.comparison.results import Comparison

MakeRun = Callable[..., Path]

CONFIG: dict[str, Any] = {
    "task": {"name": "language_modeling", "monitor": "validation/loss", "sample": {"length": 200}},
    "dataset": {"name": "sotu", "first_year": 1990},
    "tokenizer": {"name": "char", "minimum_count": 1},
    "cell": {"name": "lstm", "_target_": "unrolled.cells.lstm.LSTM", "backend": "auto"},
    "model": {"hidden_size": 128, "layers": 1, "dropout": 0.0},
    "budget": {"parameters": None, "tolerance": 0.01},
    "optimizer": {"name": "adamw", "lr": 0.003, "betas": [0.9, 0.99]},
    "trainer": {"name": "cpu", "max_steps": 1000, "threads": 1, "validate_every_steps": 100},
    "paths": {"outputs": "outputs"},
    "workers": None,
}

TOKENS = ["data.tokenizer", "data.vocabulary_size"]
TASK: dict[str, Any] = {
    "name": "language_modeling",
    "primary": "perplexity",
    "monitor": "validation/loss",
    "metrics": {
        "loss": {"direction": "min", "unit": "nats per token", "format": ".4g", "within": TOKENS},
        "perplexity": {"direction": "min", "unit": "", "format": ".4g", "within": TOKENS},
        "bits_per_character": {"direction": "min", "unit": "", "format": ".4g", "within": []},
        "accuracy": {"direction": "max", "unit": "", "format": ".4g", "within": TOKENS},
    },
    "baselines": {"unigram": {"validation/perplexity": 21.3, "test/perplexity": 21.5}},
    "cautions": {},
}


def fake_record(
    cell: str,
    seed: int,
    perplexity: float | None = 6.0,
    config: dict[str, Any] | None = None,
    **fields: Any,
) -> Record:
    """A finished run's record; ``config`` sets dotted keys, ``fields`` replace whole fields."""
    values = deepcopy(CONFIG)
    values["seed"] = seed
    values["cell"] |= {"name": cell, "_target_": f"unrolled.cells.{cell}.{cell.upper()}"}
    for key, value in (config or {}).items():
        *parents, last = key.split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    metrics: dict[str, Any] = {}
    if perplexity is not None:
        for split, factor in (("validation", 1.0), ("test", 1.02)):
            loss = math.log(perplexity * factor)
            metrics |= {
                f"{split}/loss": loss,
                f"{split}/perplexity": perplexity * factor,
                f"{split}/bits_per_character": loss / math.log(2),
                f"{split}/accuracy": 1 / perplexity,
            }
    history = [
        {
            "step": step,
            "epoch": 1,
            "seconds": step * 0.02,
            "train/loss": 2.0,
            "validation/perplexity": (perplexity or 6.0) * (1 + 200 / step),
        }
        for step in range(100, 1001, 100)
    ]
    size = {"tokens": 50_000, "characters": 50_000, "unknown_rate": 0.0}
    record = Record(
        task=deepcopy(TASK),
        identity=f"{cell}{seed}",
        study="study",
        name=f"{cell}-seed{seed}-abc123",
        seed=seed,
        config=values,
        status="finished",
        data={
            "name": "sotu",
            "fingerprint": "f" * 64,
            "tokenizer": values["tokenizer"]["name"],
            "vocabulary_size": 98,
            "sizes": {split: dict(size) for split in ("train", "validation", "test")},
        },
        model={"parameters": 100_000, "hidden_size": 128, "layers": 1, "backend": "native"},
        metrics=metrics,
        best={"step": 1000, "epoch": 1},
        history=history,
        timing={
            "started": "2026-01-02T03:04:05+00:00",
            "ended": "2026-01-02T03:04:25+00:00",
            "seconds": 20.0,
            "tokens_per_second": 100_000.0,
        },
        environment={"cpu": "a processor", "gpu": None, "threads": 1, "torch": "2.13.0"},
    )
    for name, value in fields.items():
        # Of the task's description, what is to differ is enough.
        setattr(record, name, record.task | value if name == "task" else value)
    return record


@pytest.fixture
def analysed(tmp_path: Path) -> Callable[..., "Comparison"]:
    """The comparison of the fake runs, as data; nothing is written."""
    from unrolled.comparison.collect import collect
    from unrolled.comparison.report import analyse

    def of(
        metric: str | None = None, baseline: str | None = None, by: list[str] | None = None
    ) -> "Comparison":
        study = tmp_path / "study"
        return analyse(collect([study], by), [study], metric, baseline)

    return of


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a fake run below ``tmp_path / study`` and returns its folder."""

    def make(cell: str, seed: int, *arguments: Any, folder: str = "", **keywords: Any) -> Path:
        record = fake_record(cell, seed, *arguments, **keywords)
        path = tmp_path / "study" / (folder or record.name)
        path.mkdir(parents=True)
        record.write(path)
        return path

    return make


@pytest.fixture
def make_runs(make_run: MakeRun, tmp_path: Path) -> Callable[..., Path]:
    """Writes one run a seed (1, 2, …) with these perplexities; returns the study's folder."""

    def make(cell: str, perplexities: Sequence[float], **keywords: Any) -> Path:
        for seed, perplexity in enumerate(perplexities, start=1):
            make_run(cell, seed, perplexity, **keywords)
        return tmp_path / "study"

    return make

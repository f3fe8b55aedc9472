"""A pytest plugin of a task that can be cross-validated: few sequences, two classes."""

import sys
from pathlib import Path

import pytest

SOURCE = '''
import numpy as np

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Split
from unrolled.models.build import Parts
from unrolled.models.encoders import Features
from unrolled.models.heads import BinaryHead
from unrolled.metrics.classes import ClassCounts
from unrolled.runs.task import Metric
from unrolled.tasks.examples import ArrayData, ExampleTask


def load(name: str = "signs", examples: int = 60, held_out: int = 0) -> LabeledSequences:
    generator = np.random.default_rng(0)
    labels = np.arange(examples) % 2
    steps = generator.normal(size=(examples, 5, 1)) + 0.8 * (2 * labels - 1)[:, None, None]
    places = np.arange(examples)
    given = {"train": places[held_out:], "test": places[:held_out]} if held_out else {}
    return LabeledSequences(
        name,
        Sequences.of_equal(steps.astype(np.float32)),
        ["negative" if label == 0 else "positive" for label in labels],
        given,
        split=Split(validation_fraction=0.2, test_fraction=0.2),
    )


class Counts(ClassCounts):
    def __init__(self):
        super().__init__(2)
        self.loss = 0.0

    def update(self, head, hidden, targets):
        self.loss += float(head.loss(hidden, targets))
        self.count((head.scores(hidden)[..., 0] > 0).long(), targets)

    def compute(self):
        return {"loss": self.loss / int(self.occurring.sum()), "accuracy": self.scores().accuracy}


class Signs(ExampleTask):
    """Say whether the numbers of a sequence are mostly positive."""

    takes = LabeledSequences
    uses_folds = True
    primary = "accuracy"
    metrics = {"loss": Metric("min", "nats"), "accuracy": Metric("max")}

    def __init__(self, *, name: str, monitor: str | None = None, batch_size: int = 8) -> None:
        super().__init__(name=name, monitor=monitor, batch_size=batch_size)

    def prepare(self, sources, fitted=None):
        data = sources.load()
        splits = {}
        for split, places in data.places(sources.fold).items():
            inputs, labels = data.take(places)
            splits[split] = inputs, np.array([label == "positive" for label in labels], "int64")
        return ArrayData(data.name, splits, source=data.fingerprint)

    def parts(self, fitted, model):
        return Parts(1, lambda: Features(1), lambda hidden, _: BinaryHead(hidden), "last")

    def evaluator(self, data, split):
        return Counts()

    def baselines(self, data):
        shares = {split: targets.mean() for split, (_, targets) in data.splits.items()}
        return {
            "positive": {f"{s}/accuracy": float(shares[s]) for s in ("validation", "test")}
        }
'''
OVERRIDES = [
    "task._target_=fake_signs.Signs",
    "dataset._target_=fake_signs.load",
    "tokenizer=none",
    "model.hidden_size=4",
    "model.layers=1",
    "trainer.max_steps=12",
    "trainer.validate_every_steps=6",
    "trainer.log_every_steps=6",
    "study=signs",
]


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a tiny run of a task that can be cross-validated, whose file is written."""
    Path("fake_signs.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "fake_signs", raising=False)
    return [*OVERRIDES]

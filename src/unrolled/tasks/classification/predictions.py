"""The test split's predictions, in ``predictions.csv`` beside the record."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl

from unrolled.runs.files import atomic_path
from unrolled.tasks.classification.data import ClassifiedData

if TYPE_CHECKING:
    from unrolled.data.module import ExampleModule

PREDICTIONS = "predictions.csv"


class WritePredictions(pl.Callback):
    """Write each test example's true and predicted class, and the probability of each class.

    Args:
        batches: in whose order the test gives the examples.
    """

    def __init__(self, data: ClassifiedData, batches: "ExampleModule", folder: Path) -> None:
        self.data = data
        self.batches = batches
        self.folder = folder

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        evaluator: Any = pl_module.evaluator
        probabilities = evaluator.probabilities.numpy()
        order = self.batches.order("test")
        # A debugging run tests a part of the split only.
        order = order[: len(probabilities)]
        examples = self.data.places["test"][order]
        targets = self.data.splits["test"][1][order]
        names = self.data.fitted.classes
        with (
            atomic_path(self.folder / PREDICTIONS) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            rows = csv.writer(file)
            rows.writerow(["example", "class", "predicted", *(f"p({name})" for name in names)])
            for place in np.argsort(examples, kind="stable"):
                shares = probabilities[place]
                rows.writerow(
                    [
                        examples[place],
                        names[targets[place]],
                        names[int(shares.argmax())],
                        *(f"{share:.6g}" for share in shares),
                    ]
                )

"""Accuracy, precision, recall and F1 over any number of classes, from three counts a class.

torchmetrics' own F1 builds a confusion matrix, which at 50,000 classes has 2.5 billion cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


class ClassScores(NamedTuple):
    """What the counts say; precision, recall and F1 are macro averages."""

    accuracy: float
    precision: float
    recall: float
    f1: float


class ClassCounts(Metric):
    """A metric that counts how often each class was right, predicted, and there.

    A subclass says what it is updated with, and what it computes.

    Macro averages are over the classes that occur in the targets or the predictions, as
    torchmetrics has them. With one label each, micro averages are the accuracy.

    Args:
        classes: how many there are.
    """

    full_state_update = False
    higher_is_better = True

    correct: Tensor
    predicted: Tensor
    occurring: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("correct", "predicted", "occurring"):
            counts = torch.zeros(classes, dtype=torch.int64)
            self.add_state(name, counts, dist_reduce_fx="sum")

    def count(self, predictions: Tensor, targets: Tensor) -> None:
        """Add predicted and true classes, ``[examples]`` each."""
        hits = predictions[predictions == targets]
        self.correct += torch.bincount(hits, minlength=self.classes)
        self.predicted += torch.bincount(predictions, minlength=self.classes)
        self.occurring += torch.bincount(targets, minlength=self.classes)

    def scores(self) -> ClassScores:
        """Accuracy and macro averages of what was counted."""
        correct, predicted, occurring = (
            counts.double() for counts in (self.correct, self.predicted, self.occurring)
        )
        seen = (predicted + occurring) > 0
        precision = (correct / predicted.clamp(min=1))[seen].mean()
        recall = (correct / occurring.clamp(min=1))[seen].mean()
        f1 = (2 * correct / (predicted + occurring).clamp(min=1))[seen].mean()
        accuracy = float(correct.sum()) / int(occurring.sum())
        return ClassScores(accuracy, float(precision), float(recall), float(f1))

import torch
from torch import Tensor
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from unrolled.metrics.classes import ClassCounts, ClassScores

CLASSES = 7


class Counts(ClassCounts):
    """The counts alone."""

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self.count(predictions, targets)

    def compute(self) -> ClassScores:
        return self.scores()


def test_scores_are_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = Counts(CLASSES)
    references = (
        MulticlassAccuracy(CLASSES, average="micro"),
        MulticlassPrecision(CLASSES),
        MulticlassRecall(CLASSES),
        MulticlassF1Score(CLASSES),
    )
    for _ in range(3):
        # The last class never occurs, and the one before it is never predicted.
        targets = torch.randint(0, CLASSES - 1, (50,), generator=generator)
        predictions = torch.randint(0, CLASSES - 2, (50,), generator=generator)
        predictions = torch.where(predictions % 2 == 0, predictions, targets % (CLASSES - 2))
        for metric in (counts, *references):
            metric.update(predictions, targets)
    expected = torch.tensor([float(reference.compute()) for reference in references])
    torch.testing.assert_close(torch.tensor(counts.compute()), expected)

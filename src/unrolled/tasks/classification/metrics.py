"""The metrics of classifiers, by torchmetrics, over a whole split."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import functional as M

from unrolled.models.heads import ClassHead, Head
from unrolled.runs.figures import Figure, Matrix

# A confusion matrix of more classes is not readable, and large in a record.
MOST_DRAWN = 60


class ClassificationMetrics:
    """Loss, accuracy, precision, recall, F1, AUROC, average precision and calibration error.

    Keeps the probabilities of the split, so that what depends on their order is exact.

    Args:
        classes: their names.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.log_probabilities: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, head: Head, hidden: Tensor, targets: Tensor) -> None:
        """Add a batch: ``hidden`` ``[batch, hidden_size]``, ``targets`` ``[batch]``."""
        assert isinstance(head, ClassHead)
        self.add(head.log_probabilities(hidden), targets)

    def add(self, log_probabilities: Tensor, targets: Tensor) -> None:
        """Add ``[batch, classes]`` and the true classes ``[batch]``."""
        self.log_probabilities.append(log_probabilities.detach().cpu())
        self.targets.append(targets.cpu())

    @property
    def probabilities(self) -> Tensor:
        """Of all examples, in the order in which they came: ``[examples, classes]``."""
        return torch.cat(self.log_probabilities).exp()

    def compute(self) -> dict[str, float]:
        """Every metric by its name, without the split.

        Macro averages are over the classes that occur in the targets or the predictions, AUROC
        and average precision one class against the rest over those that the targets have. The
        calibration error is the expected one over 15 bins of the largest probability (Guo et al.
        2017).
        """
        scores, targets = torch.cat(self.log_probabilities), torch.cat(self.targets)
        probabilities, classes = scores.exp(), len(self.classes)
        loss = float(F.nll_loss(scores.double(), targets))
        predicted = probabilities.argmax(-1)
        values: dict[str, Any] = {
            "loss": loss,
            "accuracy": M.classification.multiclass_accuracy(
                predicted, targets, classes, average="micro"
            ),
        }
        of = {
            "precision": M.classification.multiclass_precision,
            "recall": M.classification.multiclass_recall,
            "f1": M.classification.multiclass_f1_score,
        }
        for name, measure in of.items():
            for average in ("macro", "micro", "weighted"):
                values[f"{name}_{average}"] = measure(predicted, targets, classes, average=average)
        values |= self._ranked(probabilities, targets)
        values["calibration_error"] = M.classification.multiclass_calibration_error(
            probabilities, targets, classes, n_bins=15, norm="l1"
        )
        return {name: float(value) for name, value in values.items()}

    def figures(self) -> dict[str, Figure]:
        """The confusion matrix, where there are few enough classes to read it."""
        if len(self.classes) > MOST_DRAWN:
            return {}
        counts = M.classification.multiclass_confusion_matrix(
            torch.cat(self.log_probabilities).argmax(-1), torch.cat(self.targets),
            len(self.classes),
        )  # fmt: skip
        return {"confusion_matrix": Matrix([*self.classes], [*self.classes], counts.tolist())}

    def _ranked(self, probabilities: Tensor, targets: Tensor) -> dict[str, float]:
        """What looks at how examples are ranked, each class against the rest."""
        curves: dict[str, list[float]] = {"auroc": [], "average_precision": []}
        for number in range(len(self.classes)):
            own = (targets == number).long()
            if not 0 < int(own.sum()) < len(own):
                continue
            score = probabilities[:, number]
            curves["auroc"].append(float(M.classification.binary_auroc(score, own)))
            curves["average_precision"].append(
                float(M.classification.binary_average_precision(score, own))
            )
        return {
            name: sum(found) / len(found) if found else math.nan for name, found in curves.items()
        }


def of_constant(
    counts: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], classes: Sequence[str]
) -> dict[str, float]:
    """The metrics of who knows only how often each class is in training.

    Args:
        counts: of the classes in training.
        targets: of the split.
    """
    shares = torch.from_numpy(counts / counts.sum()).log().float()
    metrics = ClassificationMetrics(classes)
    metrics.add(shares.expand(len(targets), -1), torch.from_numpy(targets))
    return metrics.compute()

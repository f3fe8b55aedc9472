"""Adds up a split's answers: the loss, how many are right, and how many at each length."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unrolled.runs.figures import Curve, Figure

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.heads import Head

# As many points as a curve of lengths has at most.
_POINTS = 25


class Answers:
    """The metrics of a task that asks for classes at some steps.

    Args:
        silent: a class that accuracies leave out; None: there is none.
        lengths: what a sequence of so many steps has as its length; where there is more than one,
            the accuracy by length is drawn.
        trained_to: the longest length of training, marked in that drawing.
    """

    def __init__(self, silent: int | None, lengths: Mapping[int, int], trained_to: int) -> None:
        self.silent = silent
        self.lengths = lengths
        self.trained_to = trained_to
        self.loss = 0.0
        self.targets = 0
        # Of each sequence its steps, its answers that count, and those of them that are right.
        self.sequences: list[npt.NDArray[np.int64]] = []

    def update(self, head: "Head", hidden: "Tensor", targets: "Tensor") -> None:
        """Add a batch: ``hidden`` ``[time, batch, hidden_size]``, ``targets``
        ``[time, batch, ...]``."""
        import torch

        from unrolled.data.batches import IGNORE

        there = targets != IGNORE
        if there.dim() > 2:
            there = there.flatten(2).any(-1)
        losses, right, counted = self.score(head, hidden[there], targets[there])
        self.loss += float(losses.double().sum())
        self.targets += len(losses)
        times, columns = there.nonzero(as_tuple=True)
        batch = targets.shape[1]
        steps = torch.zeros(batch, dtype=torch.int64, device=targets.device)
        steps.scatter_reduce_(0, columns, times + 1, "amax")
        asked = torch.bincount(columns[counted], minlength=batch)
        hits = torch.bincount(columns[counted & right], minlength=batch)
        self.sequences.append(torch.stack([steps, asked, hits], 1).cpu().numpy())

    def score(
        self, head: "Head", hidden: "Tensor", targets: "Tensor"
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """The loss of each answer, whether it is right, and whether it counts: ``[answers]``."""
        from torch.nn import functional as F

        scores = head.scores(hidden).float()
        losses = F.cross_entropy(scores, targets, reduction="none")
        counted = targets != (-1 if self.silent is None else self.silent)
        return losses, scores.argmax(-1) == targets, counted

    def compute(self) -> dict[str, float]:
        """The metrics of the task."""
        _, asked, right = np.concatenate(self.sequences).T
        return {
            "loss": self.loss / self.targets,
            "accuracy": float(right.sum() / asked.sum()),
            "sequence_accuracy": float((right == asked).mean()),
        }

    def figures(self) -> dict[str, Figure]:
        """The accuracy by length, a point for a few neighbouring lengths."""
        if len(self.lengths) < 2:
            return {}
        steps, asked, right = np.concatenate(self.sequences).T
        lengths = np.asarray([self.lengths[step] for step in steps.tolist()])
        low, high = min(self.lengths.values()), max(self.lengths.values())
        width = -(-(high - low + 1) // _POINTS)
        bins = (lengths - low) // width
        x, y = [], []
        for one in np.unique(bins):
            inside = bins == one
            x.append(float(lengths[inside].mean()))
            y.append(float(right[inside].sum() / asked[inside].sum()))
        marks = {"longest in training": float(self.trained_to)}
        return {"accuracy_by_length": Curve(x, y, "length", "accuracy", marks)}

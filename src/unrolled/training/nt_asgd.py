"""Averaged SGD whose averaging begins when validation has stopped to improve (NT-ASGD)."""

import math
from collections.abc import Iterable

from torch import Tensor
from torch.optim import SGD

from unrolled.training.averaging import AveragingOptimizer


class NTASGD(AveragingOptimizer, SGD):
    """Non-monotonically triggered averaged SGD (Merity, Keskar & Socher 2018, algorithm 1).

    Plain SGD until a validation is worse than the best of those that lie more than
    ``non_monotone_interval`` validations back. From then on the weights go on by SGD, and beside
    them the mean of all weights since, those at the trigger included, is kept: it is what is
    evaluated and written as the best checkpoint.

    State that continuation needs (past validations, how many weights are averaged, the averages)
    is in ``state_dict``, as plain data.

    Args:
        params: as any optimizer's.
        lr: the learning rate.
        weight_decay: of an L2 penalty in the gradient.
        non_monotone_interval: the paper's n.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        non_monotone_interval: int,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, fused=True)
        self._shared.update(
            non_monotone_interval=non_monotone_interval, validations=[], averaged_weights=0
        )

    def share(self, count: int) -> float:
        """How much the last of ``count`` weights is of their mean."""
        return 1 / count

    def after_validation(self, loss: float) -> None:
        """Begin to average if the trigger has come."""
        # What is not a number is as bad as can be.
        loss = math.inf if math.isnan(loss) else loss
        validations, interval = self._shared["validations"], self._shared["non_monotone_interval"]
        earlier = validations[: len(validations) - interval]
        if not self.averaging and earlier and loss > min(earlier):
            self._shared["averaged_weights"] = 1
            self._average_from_here(self._parameters())
        validations.append(loss)

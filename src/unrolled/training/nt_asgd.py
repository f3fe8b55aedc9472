"""Averaged SGD whose averaging begins when validation has stopped to improve (NT-ASGD)."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import SGD


class NTASGD(SGD):
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
        # In a parameter group, whose entries a state_dict has and a schedule leaves alone.
        self._shared.update(
            non_monotone_interval=non_monotone_interval, validations=[], averaged_weights=0
        )
        self._evaluating = False

    @property
    def averaging(self) -> bool:
        """Whether the trigger has come."""
        return bool(self._shared["averaged_weights"])

    @property
    def _shared(self) -> dict[str, Any]:
        return self.param_groups[0]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step of SGD, and its weights into the average where there is one."""
        loss: float | None = super().step(closure)
        if self.averaging:
            self._shared["averaged_weights"] += 1
            parameters = self._parameters()
            averages = [self.state[parameter]["average"] for parameter in parameters]
            torch._foreach_lerp_(averages, parameters, 1 / self._shared["averaged_weights"])
        return loss

    def begin_evaluation(self) -> None:
        """Put the averages where the weights are, if there are any."""
        if self.averaging and not self._evaluating:
            self._exchange()
            self._evaluating = True

    def end_evaluation(self, value: float, mode: Literal["min", "max"]) -> None:
        """Put the weights back, and begin to average if the trigger has come.

        Args:
            value: of the monitored metric.
            mode: whether less of it is better, or more.
        """
        if self._evaluating:
            self._exchange()
            self._evaluating = False
        # As if less were better; what is not a number is as bad as can be.
        loss = value if mode == "min" else -value
        loss = math.inf if math.isnan(loss) else loss
        validations, interval = self._shared["validations"], self._shared["non_monotone_interval"]
        earlier = validations[: len(validations) - interval]
        if not self.averaging and earlier and loss > min(earlier):
            self._begin_averaging()
        validations.append(loss)

    def _begin_averaging(self) -> None:
        self._shared["averaged_weights"] = 1
        # A validation is in inference mode, whose tensors no later step could change.
        with torch.inference_mode(False), torch.no_grad():
            for parameter in self._parameters():
                self.state[parameter]["average"] = parameter.detach().clone()

    @torch.no_grad()
    def _exchange(self) -> None:
        """In place: other parts of the program hold the very same parameters."""
        for parameter in self._parameters():
            average, weights = self.state[parameter]["average"], parameter.clone()
            parameter.copy_(average)
            average.copy_(weights)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

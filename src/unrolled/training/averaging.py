"""Optimizers that keep a mean of the weights, which is what is evaluated."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer


class AveragingOptimizer(Optimizer, ABC):
    """An optimizer with a mean of its weights beside them, which is what is evaluated and written
    as the best checkpoint; training goes on with the weights as they are.

    A subclass has one of PyTorch's optimizers as its next base, which makes the steps. What
    continuation needs is in ``state_dict``, as plain data.
    """

    _evaluating = False

    @abstractmethod
    def share(self, count: int) -> float:
        """How much the last of ``count`` weights is of their mean."""

    @abstractmethod
    def after_validation(self, loss: float) -> None:
        """Take note of the monitored metric, as if less of it were better."""

    @property
    def averaging(self) -> bool:
        """Whether there is a mean yet."""
        return bool(self._shared["averaged_weights"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step, and its weights into the mean where there is one."""
        loss: float | None = super().step(closure)
        if self.averaging:
            self._shared["averaged_weights"] += 1
            parameters = self._averaged()
            averages = [self.state[parameter]["average"] for parameter in parameters]
            share = self.share(self._shared["averaged_weights"])
            torch._foreach_lerp_(averages, parameters, share)
        return loss

    def begin_evaluation(self) -> None:
        """Put the mean where the weights are, if there is one."""
        if self.averaging and not self._evaluating:
            self._exchange()
            self._evaluating = True

    def end_evaluation(self, value: float, mode: Literal["min", "max"]) -> None:
        """Put the weights back.

        Args:
            value: of the monitored metric.
            mode: whether less of it is better, or more.
        """
        if self._evaluating:
            self._exchange()
            self._evaluating = False
        self.after_validation(value if mode == "min" else -value)

    @property
    def _shared(self) -> dict[str, Any]:
        # A parameter group, whose entries a state_dict has and a schedule leaves alone.
        return self.param_groups[0]

    def _average_from_here(self, parameters: Sequence[Tensor]) -> None:
        # A validation is in inference mode, whose tensors no later step could change.
        with torch.inference_mode(False), torch.no_grad():
            for parameter in parameters:
                self.state[parameter]["average"] = parameter.detach().clone()

    @torch.no_grad()
    def _exchange(self) -> None:
        """In place: other parts of the program hold the very same parameters."""
        for parameter in self._averaged():
            average, weights = self.state[parameter]["average"], parameter.clone()
            parameter.copy_(average)
            average.copy_(weights)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _averaged(self) -> list[Tensor]:
        return [p for p in self._parameters() if p in self.state and "average" in self.state[p]]


class EMAAdamW(AveragingOptimizer, AdamW):
    """AdamW with an exponential moving average of its weights (Kingma & Ba 2015, section 7.2,
    temporal averaging, bias-corrected).

    After n steps the mean is the sum of ``average_decay ** (n - k)`` times the weights of step k,
    divided by the sum of these factors: a mean from the first step on, and in the end one over
    about ``1 / (1 - average_decay)`` steps.

    Args:
        params, lr, weight_decay, betas, eps: as AdamW has them.
        average_decay: what a step's weights count for after one more step, from 0 to below 1.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        weight_decay: float,
        betas: Sequence[float],
        eps: float,
        average_decay: float,
    ) -> None:
        first, second = betas
        super().__init__(
            params, lr=lr, weight_decay=weight_decay, betas=(first, second), eps=eps, fused=True
        )
        self._shared.update(average_decay=average_decay, averaged_weights=0)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step of AdamW, and its weights into the mean."""
        loss = super().step(closure)
        if not self.averaging:
            self._shared["averaged_weights"] = 1
        # A weight without a gradient so far has no state either, and AdamW expects none.
        self._average_from_here(
            [p for p in self._parameters() if p in self.state and "average" not in self.state[p]]
        )
        return loss

    def share(self, count: int) -> float:
        """How much the last of ``count`` weights is of their mean."""
        decay: float = self._shared["average_decay"]
        return (1 - decay) / (1 - decay**count)

    def after_validation(self, loss: float) -> None:
        """Nothing depends on it."""

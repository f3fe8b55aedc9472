"""Adapting to a text while it is being evaluated: the options, and what a task brings for it."""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from unrolled.errors import ConfigError

if TYPE_CHECKING:
    from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class DynamicEvaluation:
    """Gradient steps on the text that was just predicted (Krause et al. 2018, arXiv 1709.07432).

    Attributes:
        rule: ``rms`` divides a gradient by its root mean square over the training split, and
            decays a weight the faster the larger that is; ``sgd`` does neither.
        lr: the learning rate, for a mean loss over a segment; None: 0.00005 with ``rms``.
        decay: the share of its way back to the trained weights that a weight goes each step.
        epsilon: added to the root mean square.
        steps: tokens of a segment, after each of which there is a step.
        statistics: training batches (100 streams of a segment) for the root mean square; 0: all.

    Raises:
        ConfigError: a value that no step could use.
    """

    rule: Literal["rms", "sgd"] = "rms"
    lr: float | None = None
    decay: float = 0.002
    epsilon: float = 0.00002
    steps: int = 5
    statistics: int = 0

    def __post_init__(self) -> None:
        flag = "--dynamic"
        _require(flag, "lr", self.lr is None or 0 <= self.lr < math.inf, self.lr, "at least 0")
        _require(flag, "decay", 0 <= self.decay <= 1, self.decay, "from 0 to 1")
        _require(flag, "epsilon", 0 < self.epsilon < math.inf, self.epsilon, "above 0")
        _require(flag, "steps", self.steps >= 1, self.steps, "at least 1")
        _require(flag, "statistics", self.statistics >= 0, self.statistics, "at least 0")
        if self.rule == "sgd" and self.lr is None:
            raise ConfigError("--dynamic rule=sgd: needs a rate, such as lr=0.1")

    @property
    def rate(self) -> float:
        """The learning rate."""
        return 0.00005 if self.lr is None else self.lr


@dataclass(frozen=True)
class NeuralCache:
    """A memory of the latest hidden states and the tokens that followed them (Grave et al. 2017,
    arXiv 1612.04426).

    Attributes:
        size: how many it keeps.
        theta: what the product of two states is multiplied by; 0 is a unigram cache.
        lambda_: the share of the cache in each probability; ``lambda`` on a command line.

    Raises:
        ConfigError: a value that no probability could use.
    """

    size: int = 500
    theta: float = 0.3
    lambda_: float = 0.1

    def __post_init__(self) -> None:
        flag = "--cache"
        _require(flag, "size", self.size >= 1, self.size, "at least 1")
        _require(flag, "theta", 0 <= self.theta < math.inf, self.theta, "at least 0")
        _require(flag, "lambda", 0 <= self.lambda_ < 1, self.lambda_, "at least 0 and below 1")


@dataclass(frozen=True)
class Adaptation:
    """What an evaluation does besides reading on; at least one of the two."""

    dynamic: DynamicEvaluation | None = None
    cache: NeuralCache | None = None

    def describe(self) -> dict[str, dict[str, Any]]:
        """Its options by their names on a command line, with the values that are used."""
        options = {
            name: {field.name.rstrip("_"): getattr(part, field.name) for field in fields(part)}
            for name, part in (("dynamic", self.dynamic), ("cache", self.cache))
            if part is not None
        }
        if self.dynamic is not None:
            options["dynamic"]["lr"] = self.dynamic.rate
        return options


class Adapter(Protocol):
    """Evaluates a model that adapts; its weights are given back as they were trained."""

    def evaluate(self, split: str, adaptation: Adaptation) -> dict[str, float]:
        """The metrics of a split, by their names without it."""
        ...


@runtime_checkable
class Adapts(Protocol):
    """A task over running text, whose models can adapt to what they have read."""

    def adapter(self, data: Any, model: "RecurrentModel") -> Adapter:
        """What evaluates ``model``."""
        ...


def _require(flag: str, key: str, holds: bool, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{flag} {key}={value}: must be {allowed}")

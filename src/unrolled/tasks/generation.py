"""What ``unrolled generate`` needs of a task whose models write text."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unrolled.errors import ConfigError
from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class Request:
    """What to generate.

    Attributes:
        length: tokens at most.
        temperature: divides the logits before a token is drawn; 0 takes the most probable one.
        top_k, top_p: draw among the k most probable tokens, or among the most probable ones that
            together have this probability; None for all.
        seed: of the draws.
        stop: end at the end of a sentence, which is a line's end where the tokenizer has none.
        allow_unknown: let what the model never saw of the prompt be the unknown token.
    """

    prompt: str = ""
    length: int = 200
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 1
    stop: bool = False
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ConfigError(f"length {self.length}: must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: must be at least 0 and below 2 to the 63")


class TextTask(Task):
    """A task whose trained models continue a text."""

    @abstractmethod
    def encode_prompt(self, fitted: Any, request: Request) -> list[int]:
        """The prompt's ids after the token that begins a text; without torch.

        Raises:
            DataError: something in it is outside the vocabulary.
        """

    @abstractmethod
    def continuation(
        self, fitted: Any, model: "RecurrentModel", prompt: list[int], request: Request
    ) -> Iterator[str]:
        """Pieces of text, the prompt's first, each as soon as it is drawn.

        Raises:
            ConfigError: a value that no draw could use; at once, and not with the first piece.
        """

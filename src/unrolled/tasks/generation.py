"""What ``unrolled generate`` and ``unrolled surprisal`` need of a task whose models write text."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

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
        beams: draw nothing, and search the most probable text with so many beams; None to draw.
        repetition_penalty: makes tokens of the prompt and of the text so far less probable; 1
            leaves them as they are.

    Raises:
        ConfigError: a value that no generation could use.
    """

    prompt: str = ""
    length: int = 200
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 1
    stop: bool = False
    allow_unknown: bool = False
    beams: int | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ConfigError(f"length {self.length}: must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: must be at least 0 and below 2 to the 63")
        if self.beams is not None and self.beams < 1:
            raise ConfigError(f"beams {self.beams}: must be at least 1")
        if not 1 <= self.repetition_penalty < math.inf:
            raise ConfigError(
                f"repetition-penalty {self.repetition_penalty}: must be at least 1 (none) and "
                "finite"
            )

    def of_place(self, place: int) -> "Request":
        """The request with the draws of a prompt's place among several, each place's its own."""
        (seed,) = np.random.SeedSequence((self.seed, place)).generate_state(1, np.uint64)
        return replace(self, seed=int(seed) >> 1)


@dataclass(frozen=True)
class Surprisal:
    """A token of a text, given all before it.

    Attributes:
        text: what it adds to the text; "" for a part of a character that is not its last.
        bits: the negative logarithm to base 2 of its probability.
        rank: its place among all tokens in order of probability, 1 for the most probable.
        unknown: whether it stands for what the model never saw.
        alternatives: the most probable tokens here with their probabilities.
    """

    text: str
    bits: float
    rank: int
    unknown: bool = False
    alternatives: Sequence[tuple[str, float]] = ()


@dataclass
class Totals:
    """Sums over the tokens of a text."""

    tokens: int = 0
    bits: float = 0.0
    unknown: int = 0

    def add(self, token: Surprisal) -> None:
        """Add a token."""
        self.tokens += 1
        self.bits += token.bits
        self.unknown += token.unknown

    def figures(self, characters: int) -> dict[str, float]:
        """What the text costs, by words for people.

        Args:
            characters: of the raw text.
        """
        mean = self.bits / self.tokens
        return {
            "bits per token": mean,
            "bits per character": self.bits / characters,
            "perplexity": 2**mean if mean < 1000 else math.inf,
        }


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

    def continuations(
        self,
        fitted: Any,
        model: "RecurrentModel",
        prompts: Sequence[list[int]],
        request: Request,
    ) -> Iterator[str]:
        """The whole text of each prompt, in their order.

        A text follows from its prompt, its place and the request, whatever the other prompts are.

        Raises:
            ConfigError: as ``continuation``.
        """
        texts = [
            self.continuation(fitted, model, prompt, request.of_place(place))
            for place, prompt in enumerate(prompts)
        ]
        return map("".join, texts)

    @abstractmethod
    def surprisals(
        self, fitted: Any, model: "RecurrentModel", text: str, alternatives: int = 0
    ) -> Iterator[Surprisal]:
        """Every token of a text, as an evaluation of it would read it, in bounded memory.

        Args:
            alternatives: how many of the most probable tokens are given with each.
        """

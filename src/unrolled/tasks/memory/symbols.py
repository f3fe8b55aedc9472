"""What the synthetic memory tasks share: symbols in, answers at some steps, lengths apart."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from unrolled.data.corpus import SPLITS
from unrolled.data.sequences import IGNORE, Sequences
from unrolled.errors import ConfigError
from unrolled.runs.task import Metric
from unrolled.tasks.examples import ArrayData, ExampleTask
from unrolled.tasks.interface import Interface
from unrolled.tasks.memory.answers import Answers
from unrolled.tasks.task import Sources, require_at_least

if TYPE_CHECKING:
    from unrolled.models.build import Parts
    from unrolled.models.encoders import Encoder
    from unrolled.models.heads import Head

Ints = npt.NDArray[np.int64]
Guesses = dict[str, dict[str, float]]


@dataclass(kw_only=True, eq=False)
class SymbolTask(ExampleTask):
    """Sequences of symbols, generated from a seed, with classes asked for at some of their steps.

    Every length that a split may have is equally likely. The loss is the negative log-likelihood
    of an answer, a mean over all that are asked for.

    Attributes:
        train_examples, validation_examples, test_examples: how many sequences each split has.
        data_seed: what they are drawn from, the same for every seed of a run.
        one_hot: whether symbols are read as they are, as one-hot vectors (as Delétang et al. 2023
            have them), and not through an embedding of ``model.embedding_size``.
        silent: the class that is the answer where there is nothing to say: it counts in the loss,
            and accuracies leave it out. None: there is no such class.

    Raises:
        ConfigError: an option out of its range.
    """

    primary = "accuracy"
    headline = ("loss", "accuracy", "sequence_accuracy")
    metrics = {
        "loss": Metric("min", "nats"),
        "accuracy": Metric("max"),
        "sequence_accuracy": Metric("max"),
    }
    silent: ClassVar[int | None] = None
    similar_lengths = True

    name: str
    train_examples: int
    validation_examples: int
    test_examples: int
    data_seed: int
    batch_size: int
    evaluation_batch_size: int
    monitor: str
    one_hot: bool

    def __post_init__(self) -> None:
        super().__init__(
            name=self.name,
            monitor=self.monitor,
            batch_size=self.batch_size,
            evaluation_batch_size=self.evaluation_batch_size,
        )
        require_at_least(0, data_seed=self.data_seed)
        require_at_least(1, **{f"{split}_examples": n for split, n in self._examples().items()})
        if self.batch_size > self.train_examples:
            raise ConfigError(
                f"task.batch_size={self.batch_size}: there are task.train_examples="
                f"{self.train_examples}; ask for more examples, or for a smaller batch"
            )

    @property
    @abstractmethod
    def inputs(self) -> int:
        """How many symbols may be read."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many answers there are."""

    @abstractmethod
    def lengths(self, split: str) -> Sequence[int]:
        """The lengths that a split's sequences have, each as likely as any other."""

    @abstractmethod
    def draw(self, generator: np.random.Generator, length: int, examples: int) -> tuple[Any, Any]:
        """Sequences of one length.

        Returns:
            Symbols ``[examples, steps]``, and answers ``[examples, steps, ...]``, ``IGNORE`` where
            none is asked for. Where lengths differ, the last step asks for one.
        """

    @abstractmethod
    def guesses(self, lengths: Sequence[int]) -> Guesses:
        """What guessing gives at these lengths, each as likely as any other, in expectation: by a
        label such as ``chance`` its metrics."""

    def steps(self, length: int) -> int:
        """How many steps a sequence of a length has."""
        return length

    def prepare(self, sources: Sources, fitted: Any = None) -> ArrayData:
        splits = {
            # A generator for each split, so that more training examples change no other split.
            split: self._split(np.random.default_rng([self.data_seed, place]), split, examples)
            for place, (split, examples) in enumerate(self._examples().items())
        }
        names = dict.fromkeys(_span(self.lengths(split)) for split in ("train", "test"))
        return ArrayData("-".join([self.name, *names]), splits)

    def parts(self, fitted: Any, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Embedding, OneHot

        size = self.inputs if self.one_hot else int(model.embedding_size)

        def encoder() -> "Encoder":
            return OneHot(size) if self.one_hot else Embedding(self.inputs, size)

        return Parts(size, encoder, lambda hidden_size, _: self.head(hidden_size))

    def interface(self, fitted: Any) -> Interface:
        return Interface(
            {"kind": "symbols", "symbols": self.inputs},
            {"kind": "logits of the answers", "answers": self.classes, "silent": self.silent},
        )

    def head(self, hidden_size: int) -> "Head":
        """What gives the answers."""
        from unrolled.models.heads import LinearHead

        return LinearHead(hidden_size, self.classes)

    def evaluator(self, data: ArrayData, split: str) -> Answers:
        lengths = self.lengths(split) if split == "test" else ()
        by_steps = {self.steps(length): length for length in lengths}
        return Answers(self.silent, by_steps, max(self.lengths("train")))

    def baselines(self, data: ArrayData) -> dict[str, dict[str, float]]:
        result: dict[str, dict[str, float]] = {}
        for split in ("validation", "test"):
            for label, figures in self.guesses(self.lengths(split)).items():
                named = {f"{split}/{name}": value for name, value in figures.items()}
                result.setdefault(label, {}).update(named)
        return result

    def _examples(self) -> dict[str, int]:
        sizes = (self.train_examples, self.validation_examples, self.test_examples)
        return dict(zip(SPLITS, sizes, strict=True))

    def _split(
        self, generator: np.random.Generator, split: str, examples: int
    ) -> tuple[Sequences, Sequences]:
        """Inputs and targets of a split, the shortest first."""
        lengths = self.lengths(split)
        counts = np.bincount(generator.integers(0, len(lengths), examples), minlength=len(lengths))
        drawn = [
            self.draw(generator, length, count)
            for length, count in zip(lengths, counts.tolist(), strict=True)
            if count
        ]
        inputs, targets = zip(*drawn, strict=True)
        return _joined(inputs), _joined(targets)


@dataclass(kw_only=True, eq=False)
class LengthsTask(SymbolTask):
    """A task whose sequences have any length from ``min_length`` to ``max_length``.

    Attributes:
        test_min_length, test_max_length: of the test split; None: as in the others.
    """

    min_length: int
    max_length: int
    test_min_length: int | None
    test_max_length: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(
            self.least_length(), min_length=self.min_length, test_min_length=self.test_min_length
        )
        for split in SPLITS:
            if not self.lengths(split):
                low, high, prefix = self._range(split)
                raise ConfigError(
                    f"task.{prefix}max_length={high}: {self.what_lengths()} from task.{prefix}"
                    f"min_length={low} on; none is left"
                )

    def least_length(self) -> int:
        """The shortest that a sequence can be."""
        return 1

    def what_lengths(self) -> str:
        """Which lengths there are, in words."""
        return "lengths go"

    def fits(self, length: int) -> bool:
        """Whether there are sequences of a length."""
        return True

    def lengths(self, split: str) -> Sequence[int]:
        low, high, _ = self._range(split)
        return [length for length in range(low, high + 1) if self.fits(length)]

    def _range(self, split: str) -> tuple[int, int, str]:
        """The shortest and the longest length, and what the options that say so begin with."""
        low, high = self.min_length, self.max_length
        if split == "test" and (self.test_min_length, self.test_max_length) != (None, None):
            return (
                low if self.test_min_length is None else self.test_min_length,
                high if self.test_max_length is None else self.test_max_length,
                "test_",
            )
        return low, high, ""


def mean_over(values: Iterable[float], weights: Iterable[float]) -> float:
    """The weighted mean."""
    return float(np.average([*values], weights=[*weights]))


def entropy(probabilities: npt.ArrayLike) -> float:
    """In nats."""
    p = np.asarray(probabilities, dtype=np.float64)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def at_the_end(answers: Ints, steps: int) -> Ints:
    """Targets ``[examples, steps]`` that ask for ``answers`` ``[examples]`` at the last step."""
    targets = np.full((len(answers), steps), IGNORE)
    targets[:, -1] = answers
    return targets


def small(array: npt.NDArray[Any], largest: int) -> npt.NDArray[Any]:
    """Whole numbers up to ``largest``, and ``IGNORE``, in as few bytes as hold them."""
    return array.astype(np.int8 if largest < 1 << 7 else np.int16)


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> Sequences:
    """Arrays ``[examples, steps, ...]`` of several lengths, one behind the other."""
    lengths = np.repeat([a.shape[1] for a in arrays], [a.shape[0] for a in arrays])
    steps = np.concatenate([a.reshape(-1, *a.shape[2:]) for a in arrays])
    return Sequences(steps, np.cumsum([0, *lengths], dtype=np.int64))


def _span(lengths: Sequence[int]) -> str:
    low, high = min(lengths), max(lengths)
    return f"{low}" if low == high else f"{low}..{high}"

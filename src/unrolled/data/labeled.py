"""Labelled sequences: texts, or sequences of numbers, each with a class or with values."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.corpus import SPLITS
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Examples, Fold, Places, Split, share_out
from unrolled.errors import ConfigError, DataError


@dataclass(frozen=True)
class LabeledSequences:
    """Labelled sequences: texts, or sequences of numbers, each with a class or with values.

    Attributes:
        name: of the data set.
        inputs: texts, or sequences ``[time, features]`` of float32.
        targets: the class of each, or values ``[examples, values]`` of float64.
        given: for each split that the source has of its own the places of its examples; what is
            not in it is made of ``train``.
        groups: which examples must stay in one split; None where they are free.
        split: how what is not given is made.
        feature_names, target_names: of numbers; empty for texts, and for classes.
        treated: what was done to the data, with its count (``rows without text dropped: 3``).

    Raises:
        DataError: there is nothing, not a target for each example, one class only, or nothing in a
            split that is given.
    """

    name: str
    inputs: Sequence[str] | Sequences
    targets: Sequence[str] | npt.NDArray[np.float64]
    given: Mapping[str, Places] = field(default_factory=dict)
    groups: Sequence[str] | None = None
    split: Split = field(default_factory=Split)
    feature_names: Sequence[str] = ()
    target_names: Sequence[str] = ()
    treated: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.inputs):
            raise DataError(f"dataset={self.name}: no examples in it")
        if len(self.inputs) != len(self.targets):
            raise DataError(
                f"dataset={self.name}: {len(self.inputs):,} examples have "
                f"{len(self.targets):,} targets"
            )
        if not isinstance(self.targets, np.ndarray) and len(set(self.targets)) == 1:
            raise DataError(
                f"dataset={self.name}: one class only, {self.targets[0]!r}; there is nothing to "
                "tell apart"
            )
        for split, places in self.given.items():
            if not len(places):
                raise DataError(
                    f"dataset={self.name}: no examples in the {split} split that it has of its own"
                )

    @property
    def has_texts(self) -> bool:
        """Whether the inputs are texts."""
        return not isinstance(self.inputs, Sequences)

    @property
    def has_classes(self) -> bool:
        """Whether the targets are classes, and not values."""
        return not isinstance(self.targets, np.ndarray)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all examples, and of how they are to be split; the same for every fold."""
        digest = hashlib.sha256()
        if isinstance(self.inputs, Sequences):
            self.inputs.hash_into(digest)
        else:
            _hash_texts(digest, self.inputs)
        if isinstance(self.targets, np.ndarray):
            digest.update(f"{self.targets.shape}\n".encode())
            digest.update(np.ascontiguousarray(self.targets).data)
        else:
            _hash_texts(digest, self.targets)
        _hash_texts(digest, [] if self.groups is None else self.groups)
        digest.update(f"{self.split}\n".encode())
        for split in SPLITS:
            if split in self.given:
                digest.update(f"{split} {len(self.given[split])}\n".encode())
                digest.update(np.ascontiguousarray(self.given[split], dtype=np.int64).data)
        return digest.hexdigest()

    def places(self, fold: Fold | None = None) -> dict[str, Places]:
        """The examples of each split: as given, or made.

        Args:
            fold: of a cross-validation.

        Raises:
            DataError: the examples are too few.
            ConfigError: a number of folds that does not fit, or folds of what is given.
        """
        result = dict(self.given)
        free = result.pop("train", np.arange(len(self.inputs)))
        if fold is not None and fold.holds_out in result:
            if fold.holds_out == "test":
                raise ConfigError(
                    f"validation=kfold: dataset={self.name} has a test split of its own; take "
                    "validation.holds_out=validation, which leaves it as it is"
                )
            # The folds are of all that is not the test split.
            free = np.sort(np.concatenate([free, result.pop("validation")]))
        needed = [name for name in SPLITS[1:] if name not in result]
        if not needed:
            return {"train": free, **result}
        classes = self.targets if self.has_classes else None
        examples = Examples(
            len(free),
            None if classes is None else [classes[place] for place in free],
            None if self.groups is None else [self.groups[place] for place in free],
            f"dataset={self.name}",
        )
        made = share_out(examples, self.split, needed, fold)
        chosen = {name: free[places] for name, places in made.items()} | result
        return {name: chosen[name] for name in SPLITS}

    def take(self, places: Places) -> tuple[Any, Any]:
        """Some of the inputs and their targets, of the kinds that all have."""
        if isinstance(self.inputs, Sequences):
            inputs: Any = self.inputs.take(places)
        else:
            inputs = [self.inputs[place] for place in places]
        if isinstance(self.targets, np.ndarray):
            return inputs, self.targets[places]
        return inputs, [self.targets[place] for place in places]


def _hash_texts(digest: "hashlib._Hash", texts: Sequence[str]) -> None:
    """Add texts, so that no two lists of them run together."""
    digest.update(f"{len(texts)} texts\n".encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(content)}\n".encode())
        digest.update(content)

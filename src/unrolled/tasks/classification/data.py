"""Labelled sequences as a classifier reads them, and what was fitted to the training split."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Places
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.data.tokens import TOKENIZER
from unrolled.errors import DataError, RunError
from unrolled.tasks.task import read_kept
from unrolled.tasks.values import How, spread

CLASSES = "classes.json"
Targets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """What a classifier knows of its training split.

    Attributes:
        classes: their names, in the order of their numbers.
        counts: training examples of each class.
        tokenizer: of texts; None for numbers.
        center, scale: of each feature of numbers, ``[features]``; empty for texts.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    tokenizer: TextTokenizer | None
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def features(self) -> int:
        """How many features a step of numbers has."""
        return len(self.center)

    def encode(self, inputs: Sequence[str] | Sequences, where: str) -> tuple[Sequences, int]:
        """Texts as ids ``[time]``, or numbers ``[time, features]``, scaled.

        A text without a token is a single unknown token, or whatever begins a text.

        Returns:
            The sequences, and how many texts are without a token.

        Raises:
            DataError: they are of the other kind, or have another number of features.
        """
        if isinstance(inputs, Sequences):
            if self.tokenizer is not None:
                raise DataError(f"{where}: numbers, and the model reads texts")
            if inputs.steps.ndim != 2 or inputs.steps.shape[1] != self.features:
                raise DataError(
                    f"{where}: {inputs.steps[0].size} features a step, and the model reads "
                    f"{self.features}"
                )
            center, scale = (np.array(of, np.float32) for of in (self.center, self.scale))
            steps = (inputs.steps.astype(np.float32) - center) / scale
            return Sequences(steps, inputs.offsets), 0
        if self.tokenizer is None:
            raise DataError(f"{where}: texts, and the model reads numbers")
        unknown = self.tokenizer.unknown_id
        blank = np.array([self.tokenizer.start_id if unknown is None else unknown])
        encoded = [self.tokenizer.encode_prompt(text).astype(np.int64) for text in inputs]
        without = sum(not len(ids) for ids in encoded)
        return Sequences.of(ids if len(ids) else blank for ids in encoded), without

    def write(self, folder: Path) -> None:
        """Write it into a run's folder."""
        about = {
            "classes": self.classes,
            "counts": self.counts,
            "center": self.center,
            "scale": self.scale,
        }
        (folder / CLASSES).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        if self.tokenizer is not None:
            (folder / TOKENIZER).write_text(self.tokenizer.to_json(), encoding="utf-8")


def fit(
    examples: LabeledSequences,
    places: Places,
    make_tokenizer: Callable[[], TextTokenizer] | None,
    *,
    scaling: How,
) -> Fitted:
    """Fit to the training split.

    Args:
        places: of the training split.
        make_tokenizer: of texts; None for numbers.
        scaling: of features, see ``spread``.

    Raises:
        DataError: there is one class only.
    """
    inputs, targets = examples.take(places)
    counts = Counter(targets)
    classes = tuple(sorted(counts, key=_natural))
    if len(classes) < 2:
        raise DataError(
            f"dataset={examples.name}: its training split has one class only, {classes[0]!r}; "
            "there is nothing to tell apart"
        )
    numbers = tuple(counts[name] for name in classes)
    if make_tokenizer is not None:
        tokenizer = make_tokenizer()
        tokenizer.train("\n".join(inputs))
        return Fitted(classes, numbers, tokenizer)
    center, scale = spread(inputs.steps.astype(np.float64), scaling)
    return Fitted(classes, numbers, None, tuple(center.tolist()), tuple(scale.tolist()))


def read_fitted(folder: Path) -> Fitted:
    """What ``Fitted.write`` wrote.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        about = json.loads(read_kept(folder, CLASSES))
        tokenizer = None
        if not about["center"]:
            tokenizer = load_tokenizer((folder / TOKENIZER).read_text(encoding="utf-8"))
        return Fitted(
            tuple(map(str, about["classes"])),
            tuple(map(int, about["counts"])),
            tokenizer,
            tuple(map(float, about["center"])),
            tuple(map(float, about["scale"])),
        )
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise RunError(f"{folder / CLASSES}: damaged ({error}); train again") from error


@dataclass(frozen=True)
class ClassifiedData:
    """The splits as numbers.

    Attributes:
        splits: for each split the inputs, and the classes' numbers ``[examples]``.
        places: which example of the data set each one is.
        treated: what was done to the data, with its count.
    """

    name: str
    fingerprint: str
    fitted: Fitted
    splits: Mapping[str, tuple[Sequences, Targets]]
    places: Mapping[str, Places]
    treated: Mapping[str, int]

    def counts(self, split: str) -> Targets:
        """Examples of each class ``[classes]``."""
        return np.bincount(self.splits[split][1], minlength=len(self.fitted.classes))

    @cached_property
    def sizes(self) -> dict[str, dict[str, Any]]:
        """For each split its examples, their mean length, and the share of unknown tokens."""
        result = {}
        for split, (inputs, targets) in self.splits.items():
            size: dict[str, Any] = {
                "examples": len(targets),
                "length": round(float(inputs.lengths.mean()), 2),
                "longest": int(inputs.lengths.max()),
            }
            if self.fitted.tokenizer is not None:
                unknown = self.fitted.tokenizer.unknown_id
                size["unknown_rate"] = float(np.mean(inputs.steps == unknown))
            result[split] = size
        return result

    def describe(self) -> dict[str, Any]:
        """Classes, sizes and what was done to the data."""
        about: dict[str, Any] = {
            "classes": list(self.fitted.classes),
            "class_counts": {split: self.counts(split).tolist() for split in self.splits},
            "sizes": self.sizes,
            "treated": dict(self.treated),
        }
        if self.fitted.tokenizer is not None:
            about["tokenizer"] = self.fitted.tokenizer.kind
            about["vocabulary_size"] = self.fitted.tokenizer.vocabulary_size
        return about

    def write(self, folder: Path) -> None:
        """Write what was fitted into a run's folder."""
        self.fitted.write(folder)


def encode(
    examples: LabeledSequences, places: Mapping[str, Places], fitted: Fitted
) -> ClassifiedData:
    """Each split as numbers.

    Raises:
        DataError: a class that the training split does not have.
    """
    numbers = {name: number for number, name in enumerate(fitted.classes)}
    splits: dict[str, tuple[Sequences, Targets]] = {}
    treated = Counter(examples.treated)
    for split, chosen in places.items():
        inputs, labels = examples.take(chosen)
        unseen = Counter(label for label in labels if label not in numbers)
        if unseen:
            label, count = unseen.most_common(1)[0]
            first = ""
            if examples.has_texts:
                # Files and lines are no longer known here; a text can be searched for.
                first = f", first for {shorten(inputs[labels.index(label)], 40)!r}"
            raise DataError(
                f"dataset={examples.name}: the {split} split has the class {label!r} ({count} "
                f"times{first}), which no training example has; leave it out, or split otherwise"
            )
        encoded, without = fitted.encode(inputs, f"dataset={examples.name}")
        treated["texts without a token"] += without
        targets = np.array([numbers[label] for label in labels], dtype=np.int64)
        splits[split] = (encoded, targets)
    return ClassifiedData(
        examples.name, examples.fingerprint, fitted, splits, places, dict(treated)
    )


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers in their order, before words in theirs."""
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)

"""Which examples are for training, validation and test, where the data does not say so itself; and
the folds of cross-validation."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.data.corpus import SPLITS, check_fractions
from unrolled.errors import ConfigError, DataError

By = Literal["stratified", "random", "group", "time"]
Places = npt.NDArray[np.int64]
# Groups are dealt out to so many parts at most, of which a split takes some.
MOST_PARTS = 20
MANY_GROUPS = 2000


@dataclass(frozen=True)
class Split:
    """How examples are shared out.

    Attributes:
        by: ``stratified`` keeps each class's share, ``random`` asks for nothing, ``group`` keeps
            the examples of a group (a document, a person) together and the classes' shares as
            near as that allows, ``time`` keeps the order, the latest for the test.
        validation_fraction, test_fraction: of the examples that are shared out.
        seed: of the draw, the same for every seed of a run.
    """

    by: By = "stratified"
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation.

    Attributes:
        number: from 0.
        folds: how many there are.
        holds_out: the split that the fold is: ``test``, where validation examples are taken from
            the rest, or ``validation``, where the test split stays as it is.
    """

    number: int
    folds: int
    holds_out: Literal["test", "validation"] = "test"


@dataclass(frozen=True)
class Examples:
    """What of the examples decides where they go.

    Attributes:
        count: how many there are.
        labels: the class of each; None where there are none.
        groups: the group of each; None where there are none.
        where: what the data is called in messages, such as ``dataset=table``.
    """

    count: int
    labels: Sequence[Any] | None
    groups: Sequence[Any] | None
    where: str


def share_out(
    examples: Examples, split: Split, needed: Sequence[str], fold: Fold | None = None
) -> dict[str, Places]:
    """The places of the examples of each split, in order.

    Args:
        needed: the splits besides ``train`` that are to be made of these examples.
        fold: of a cross-validation; the fold is one of the splits then, and
            ``split.validation_fraction`` a fraction of the rest.

    Raises:
        DataError: there are too few examples, of a class or of all, or no groups to split by.
        ConfigError: a fraction or a number of folds that is out of range.
    """
    fractions = {"test": split.test_fraction, "validation": split.validation_fraction}
    for name in fractions:
        # What is given, or is a fold, takes no fraction.
        if name not in needed or (fold is not None and name == fold.holds_out):
            fractions[name] = 0.0
    check_fractions(fractions["validation"], fractions["test"], "dataset.split")
    if split.by == "group" and examples.groups is None:
        raise DataError(
            f"{examples.where}: dataset.split.by=group, and the data has no groups; name their "
            "column, or split otherwise"
        )
    places = np.arange(examples.count)
    result: dict[str, Places] = {}
    left = 1.0
    for name in fractions:
        if fold is not None and name == fold.holds_out:
            places, result[name] = _fold(examples, places, split, fold)
        elif name in needed:
            # Of what is left, so that both are fractions of the whole; of a fold's rest, of that.
            places, result[name] = _cut(examples, places, split, fractions[name] / left, name)
            left -= fractions[name]
    result["train"] = places
    return {name: np.sort(result[name]) for name in SPLITS if name in result}


def _cut(
    examples: Examples, places: Places, split: Split, fraction: float, name: str
) -> tuple[Places, Places]:
    """Some examples in two: what stays, and a fraction of them."""
    if not fraction:
        raise DataError(
            f"{examples.where}: it has no {name} split, and dataset.split.{name}_fraction is 0; "
            "give it a fraction, or data of its own"
        )
    count = round(fraction * len(places))
    if not 1 <= count < len(places):
        raise DataError(
            f"{examples.where}: {len(places)} examples cannot give a {name} split of "
            f"{fraction:g} of them; it needs more examples, or another fraction"
        )
    if split.by == "time":
        return places[:-count], places[-count:]
    if split.by == "group":
        return _cut_by_group(examples, places, fraction, split.seed)
    from sklearn.model_selection import train_test_split

    labels = _labels(examples, places) if split.by == "stratified" else None
    if labels is not None:
        _require_examples(examples, labels, 2, f"a {name} split")
        if count < len(set(labels)):
            raise DataError(
                f"{examples.where}: a {name} split of {count} examples cannot hold "
                f"{len(set(labels))} classes; raise dataset.split.{name}_fraction, or take "
                "dataset.split.by=random"
            )
    kept, cut = train_test_split(places, test_size=count, random_state=split.seed, stratify=labels)
    return kept, cut


def _fold(examples: Examples, places: Places, split: Split, fold: Fold) -> tuple[Places, Places]:
    """The examples outside a fold that may be learned from, and those in it."""
    from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

    # By time, the first fold is predicted from a part of its own.
    most = len(places) - (split.by == "time")
    if not 2 <= fold.folds <= most:
        raise ConfigError(
            f"folds={fold.folds}: there are {len(places)} examples, so between 2 and {most}"
        )
    if split.by == "group":
        return _folds_by_group(examples, places, fold.folds, split.seed)[fold.number]
    if split.by == "time":
        # Each fold is predicted from what came before it.
        folds: Any = TimeSeriesSplit(fold.folds)
        labels = None
    elif split.by == "stratified" and (labels := _labels(examples, places)) is not None:
        _require_examples(examples, labels, fold.folds, f"folds={fold.folds}")
        folds = StratifiedKFold(fold.folds, shuffle=True, random_state=split.seed)
    else:
        labels = None
        folds = KFold(fold.folds, shuffle=True, random_state=split.seed)
    kept, held = list(folds.split(places, labels))[fold.number]
    return places[kept], places[held]


def _cut_by_group(
    examples: Examples, places: Places, fraction: float, seed: int
) -> tuple[Places, Places]:
    """Some of as many parts as come nearest to the fraction, no group in two."""
    assert examples.groups is not None
    groups = len({examples.groups[place] for place in places})
    most = max(2, min(groups, MOST_PARTS))
    nearest = Fraction(fraction).limit_denominator(most)
    if nearest in (0, 1):
        # A fraction too small for these groups still gets one of them, and a large one leaves one.
        nearest = Fraction(1 if nearest == 0 else most - 1, most)
    folds = _folds_by_group(examples, places, nearest.denominator, seed)
    held = np.concatenate([held for _, held in folds[: nearest.numerator]])
    return np.setdiff1d(places, held), held


def _folds_by_group(
    examples: Examples, places: Places, parts: int, seed: int
) -> list[tuple[Places, Places]]:
    """Each part with the rest, no group in two parts."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    assert examples.groups is not None
    groups = np.asarray(examples.groups, dtype=object)[places].astype(str)
    count = len(set(groups.tolist()))
    if count < parts:
        raise DataError(
            f"{examples.where}: {count} groups cannot be split into {parts} parts: a "
            "group is in one part only"
        )
    labels = _labels(examples, places)
    # Where no class is in every part, there are no shares to keep, and of many groups chance keeps
    # them, in a hundredth of the time.
    largest = 0 if labels is None else max(Counter(labels.tolist()).values())
    if largest < parts or count > MANY_GROUPS:
        folds: Any = GroupKFold(parts, shuffle=True, random_state=seed)
    else:
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # That a class has fewer examples than parts is no mistake: a group is in one part only.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        made = list(folds.split(places, labels, groups))
    return [(places[kept], places[held]) for kept, held in made]


def _labels(examples: Examples, places: Places) -> npt.NDArray[np.str_] | None:
    if examples.labels is None:
        return None
    return np.asarray(examples.labels, dtype=object)[places].astype(str)


def _require_examples(
    examples: Examples, labels: npt.NDArray[np.str_], least: int, what: str
) -> None:
    """Refuse a class that has too few examples to be in every part."""
    name, count = min(Counter(labels.tolist()).items(), key=lambda item: (item[1], item[0]))
    if count < least:
        raise DataError(
            f"{examples.where}: class {name!r} has {count} "
            f"{'example' if count == 1 else 'examples'}, too few for {what}, which needs at least "
            f"{least} of each class; leave the class out, or take dataset.split.by=random"
        )

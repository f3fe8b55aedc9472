"""Splits and folds: nothing lost, nothing twice, and what each way of splitting keeps."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from unrolled.data.splits import By, Examples, Fold, Places, Split, share_out
from unrolled.errors import ConfigError, DataError, UnrolledError

COUNT = 200
# Three classes in shares of 60, 30 and 10 %; twenty documents of ten examples, of one class each
# but for the rarest.
LABELS = np.random.default_rng(0).permutation(["a"] * 120 + ["b"] * 60 + ["c"] * 20).tolist()
GROUPS = [f"document {place // 10}" for place in range(COUNT)]
NEEDED = ("validation", "test")


def examples(count: int = COUNT, *, labels: bool = True, groups: bool = True) -> Examples:
    return Examples(
        count, LABELS[:count] if labels else None, GROUPS[:count] if groups else None, "dataset=x"
    )


def require_partition(splits: Mapping[str, Places], count: int = COUNT) -> None:
    """Every example in one split, in order."""
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(count))
    for places in splits.values():
        assert len(places)
        assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("by", ["stratified", "random", "group", "time"])
@pytest.mark.parametrize("needed", [("validation", "test"), ("validation",), ("test",)])
@pytest.mark.parametrize("labels", [True, False])
def test_every_example_is_in_one_split(by: By, needed: tuple[str, ...], labels: bool) -> None:
    splits = share_out(examples(labels=labels), Split(by), needed)
    assert set(splits) == {"train", *needed}
    require_partition(splits)
    for name in needed:
        assert len(splits[name]) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("by", "validation", "test"),
    [
        ("random", 0.15, 0.25), ("stratified", 0.3, 0.2), ("time", 0.05, 0.5),
        ("group", 0.15, 0.25), ("group", 0.3, 0.4), ("group", 0.05, 0.6),
    ],
)  # fmt: skip
def test_both_fractions_are_of_the_whole(by: By, validation: float, test: float) -> None:
    splits = share_out(examples(), Split(by, validation, test), NEEDED)
    require_partition(splits)
    # A group is whole, so that one of twenty is the nearest that there may be.
    within = 11 if by == "group" else 1
    assert len(splits["validation"]) == pytest.approx(validation * COUNT, abs=within)
    assert len(splits["test"]) == pytest.approx(test * COUNT, abs=within)


def test_stratified_keeps_the_shares_of_the_classes() -> None:
    splits = share_out(examples(), Split("stratified"), NEEDED)
    for name, places in splits.items():
        count = Counter(LABELS[place] for place in places)
        assert count == {"a": len(places) * 0.6, "b": len(places) * 0.3, "c": len(places) * 0.1}, (
            name
        )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fold", [None, Fold(1, 4, "test"), Fold(1, 4, "validation")])
def test_a_group_is_in_one_split(seed: int, fold: Fold | None) -> None:
    splits = share_out(examples(), Split("group", seed=seed), NEEDED, fold)
    require_partition(splits)
    groups = [{GROUPS[place] for place in places} for places in splits.values()]
    assert sum(map(len, groups)) == len(set(GROUPS))


def test_groups_keep_the_shares_of_the_classes_as_near_as_they_can() -> None:
    labels = [("spoken", "written")[place // 10 % 2] for place in range(COUNT)]
    for seed in range(5):
        splits = share_out(
            Examples(COUNT, labels, GROUPS, "dataset=x"), Split("group", seed=seed), NEEDED
        )
        for places in splits.values():
            spoken = sum(labels[place] == "spoken" for place in places)
            assert spoken == len(places) / 2


@pytest.mark.parametrize(("fraction", "groups"), [(0.02, 1), (0.1, 1), (0.5, 2), (0.98, 3)])
def test_few_groups_give_the_nearest_number_of_them(fraction: float, groups: int) -> None:
    splits = share_out(examples(40), Split("group", test_fraction=fraction), ["test"])
    assert len(splits["test"]) == groups * 10


def test_many_groups_are_split_at_once_and_stay_whole() -> None:
    groups = [str(place // 2) for place in range(20_000)]
    labels = [LABELS[int(group) % COUNT] for group in groups]
    splits = share_out(Examples(20_000, labels, groups, "dataset=x"), Split("group"), NEEDED)
    require_partition(splits, 20_000)
    found = [{groups[place] for place in places} for places in splits.values()]
    assert sum(map(len, found)) == len(set(groups))
    assert len(splits["test"]) == pytest.approx(2000, abs=20)


def test_time_keeps_the_order() -> None:
    splits = share_out(examples(), Split("time", 0.2, 0.1), NEEDED)
    assert splits["train"].tolist() == list(range(140))
    assert splits["validation"].tolist() == list(range(140, 180))
    assert splits["test"].tolist() == list(range(180, 200))


@pytest.mark.parametrize("by", ["stratified", "random", "group"])
def test_the_split_follows_from_its_seed(by: By) -> None:
    def drawn(seed: int) -> list[list[int]]:
        splits = share_out(examples(), Split(by, seed=seed), NEEDED)
        return [places.tolist() for places in splits.values()]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("by", ["stratified", "random", "group"])
@pytest.mark.parametrize("holds_out", ["test", "validation"])
def test_each_example_is_held_out_by_one_fold(by: By, holds_out: Any) -> None:
    made = [share_out(examples(), Split(by), NEEDED, Fold(n, 5, holds_out)) for n in range(5)]
    for splits in made:
        require_partition(splits)
    held = np.concatenate([splits[holds_out] for splits in made])
    if holds_out == "test":
        assert sorted(held.tolist()) == list(range(COUNT))
        # A tenth of what the fold leaves.
        assert all(len(s["validation"]) == pytest.approx(16, abs=4) for s in made)
    else:
        # The test split is the same for all, and in no fold.
        test = made[0]["test"].tolist()
        assert all(splits["test"].tolist() == test for splits in made)
        assert sorted([*held.tolist(), *test]) == list(range(COUNT))


def test_stratified_folds_keep_the_shares_of_the_classes() -> None:
    for number in range(5):
        held = share_out(examples(), Split(), NEEDED, Fold(number, 5))["test"]
        assert Counter(LABELS[place] for place in held) == {"a": 24, "b": 12, "c": 4}


def test_folds_by_time_learn_from_the_past_alone() -> None:
    ends = []
    for number in range(5):
        splits = share_out(examples(), Split("time"), NEEDED, Fold(number, 5))
        assert splits["train"].max() < splits["validation"].min()
        assert splits["validation"].max() < splits["test"].min()
        ends.append(int(splits["test"].max()))
    assert ends == sorted(set(ends))
    assert ends[-1] == COUNT - 1


def test_an_own_split_s_fraction_does_not_matter() -> None:
    splits = share_out(examples(), Split("random", 0.1, 7.0), ("validation",))
    assert len(splits["validation"]) == 20
    fold = share_out(examples(), Split("random", 0.1, -1.0), NEEDED, Fold(0, 4, "test"))
    assert len(fold["test"]) == 50


@pytest.mark.parametrize(
    ("data", "split", "fold", "kind", "message"),
    [
        (examples(groups=False), Split("group"), None, DataError, "the data has no groups"),
        (examples(), Split(test_fraction=0.0), None, DataError, r"split.test_fraction is 0; give"),
        (examples(), Split("random", -0.5), None, DataError, r"split.validation_fraction=-0.5"),
        (examples(), Split("random", 0.5, 0.5), None, DataError, "leave nothing to train on"),
        (examples(4), Split("random"), None, DataError, "4 examples cannot give a test split of"),
        (examples(20), Split("group"), None, DataError, "1 groups cannot be split into 2 parts"),
        (examples(10), Split("group"), None, DataError, "1 groups cannot be split into 2 parts"),
        (examples(), Split(), Fold(0, 21), DataError, "class 'c' has 20 examples, .*folds=21"),
        (examples(), Split("group"), Fold(0, 21), DataError, "20 groups cannot be .* 21 parts"),
        (examples(), Split("random"), Fold(0, 1), ConfigError, "folds=1: .* between 2 and 200"),
        (examples(), Split("random"), Fold(0, 201), ConfigError, "between 2 and 200"),
        (examples(), Split("time"), Fold(0, 200), ConfigError, "between 2 and 199"),
        (
            Examples(30, ["a"] * 29 + ["b"], None, "dataset=x"), Split(), None, DataError,
            "dataset=x: class 'b' has 1 example, too few for a test split, .*at least 2 of each",
        ),
        (
            Examples(30, list("abcde") * 6, None, "dataset=x"), Split(), None, DataError,
            "a test split of 3 examples cannot hold 5 classes; raise .*test_fraction",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_split(
    data: Examples, split: Split, fold: Fold | None, kind: type[UnrolledError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        share_out(data, split, NEEDED, fold)

"""Each generator against a slow reference that shares nothing with it, and guessing against what
is said of it."""

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unrolled.config.compose import compose_run
from unrolled.data.batches import IGNORE
from unrolled.data.sequences import Sequences
from unrolled.tasks.build import check_task, prepare_data
from unrolled.tasks.examples import ArrayData
from unrolled.tasks.memory.symbols import SymbolTask

Pairs = list[tuple[list[int], Any]]
SIZES = ("task.train_examples=200", "task.validation_examples=100", "task.test_examples=150")


def built(name: str, *overrides: str) -> tuple[SymbolTask, ArrayData]:
    config = compose_run([f"task={name}", *SIZES, *overrides])
    task, data = check_task(config), prepare_data(config)
    assert isinstance(task, SymbolTask)
    assert isinstance(data, ArrayData)
    return task, data


def split_of(data: ArrayData, split: str) -> tuple[Sequences, Sequences]:
    inputs, targets = data.splits[split]
    assert isinstance(inputs, Sequences)
    assert isinstance(targets, Sequences)
    return inputs, targets


def examples(name: str, *overrides: str, split: str = "train") -> Pairs:
    inputs, targets = split_of(built(name, *overrides)[1], split)
    return [(inputs[i].tolist(), targets[i].tolist()) for i in range(len(inputs))]


@pytest.mark.parametrize(("delay", "items"), [(1, 1), (7, 3), (30, 10)])
def test_copying(delay: int, items: int) -> None:
    for read, asked in examples("copying", f"task.delay={delay}", f"task.items={items}"):
        symbols, rest = read[:items], read[items:]
        assert len(read) == len(asked) == delay + 2 * items
        assert all(1 <= one <= 8 for one in symbols)
        assert rest == [0] * (delay - 1) + [9] + [0] * items
        assert asked == [0] * (delay + items) + symbols


def test_selective_copying() -> None:
    where = set()
    for read, asked in examples("selective_copying", "task.delay=6", "task.items=3"):
        assert read.index(9) == 8
        before = read[:8]
        symbols = [one for one in before if one]
        where.add(tuple(place for place, one in enumerate(before) if one))
        assert all(1 <= one <= 8 for one in symbols)
        assert read[9:] == [0] * 3
        assert asked == [0] * 9 + symbols
    # Of the 56 ways to place 3 among 8, 200 sequences show nearly all.
    assert len(where) > 45
    assert all(len(places) == 3 for places in where)


def test_delayed_echo() -> None:
    options = ("task.delay=3", "task.min_length=4", "task.max_length=9")
    for read, asked in examples("delayed_echo", *options):
        assert asked == [IGNORE] * 3 + read[:-3]


def test_parity() -> None:
    for read, asked in examples("parity", "task.max_length=12"):
        assert asked == [IGNORE] * (len(read) - 1) + ["".join(map(str, read)).count("1") % 2]


@pytest.mark.parametrize("modulus", [2, 5, 7])
def test_modular_arithmetic(modulus: int) -> None:
    options = (f"task.modulus={modulus}", "task.min_length=1", "task.max_length=21")
    symbols = [*map(str, range(modulus)), "+", "-", "*", "="]
    for read, asked in examples("modular_arithmetic", *options):
        *expression, equals = [symbols[one] for one in read]
        assert equals == "="
        assert asked[:-1] == [IGNORE] * len(expression)
        assert asked[-1] == eval("".join(expression)) % modulus


def test_bucket_sort() -> None:
    for read, asked in examples("bucket_sort", "task.max_length=9"):
        length = len(read) // 2
        tokens, rest = read[:length], read[length:]
        assert rest == [5] + [6] * (length - 1)
        assert asked == [IGNORE] * length + sorted(tokens)


@pytest.mark.parametrize(("kinds", "deepest"), [(1, 1), (2, 3), (3, 4)])
def test_dyck(kinds: int, deepest: int) -> None:
    options = (f"task.brackets={kinds}", f"task.max_depth={deepest}", "task.max_length=16")
    reached = 0
    for read, asked in examples("dyck", *options):
        stack: list[int] = []
        for symbol, follow in zip(read, asked, strict=True):
            if symbol < kinds:
                stack.append(symbol)
            else:
                assert stack.pop() == symbol - kinds
            valid = set(range(kinds)) if len(stack) < deepest else set()
            valid |= {kinds + stack[-1]} if stack else set()
            assert {place for place, there in enumerate(follow) if there} == valid
            assert len(follow) == 2 * kinds
            reached = max(reached, len(stack))
        assert not stack
    assert reached == deepest


def test_all_strings_of_brackets_of_a_length_are_equally_likely() -> None:
    options = ("task.brackets=1", "task.max_depth=3", "task.min_length=8", "task.max_length=8")
    found = examples("dyck", *options, "task.train_examples=13000")
    counts = {
        path: 0
        for path in itertools.product((0, 1), repeat=8)
        if sum(path) == 4 and all(0 <= place - 2 * sum(path[:place]) <= 3 for place in range(1, 9))
    }
    assert len(counts) == 13
    for read, _ in found:
        counts[tuple(read)] += 1
    assert max(abs(count - 1000) for count in counts.values()) < 150


def test_associative_recall() -> None:
    options = ("task.pairs=4", "task.vocabulary=16", "task.length=20")
    for read, asked in examples("mqar", *options):
        keys, values = read[:8:2], read[1:8:2]
        assert len({*keys}) == len({*values}) == 4
        assert all(1 <= key < 8 <= value < 16 for key, value in zip(keys, values, strict=True))
        assert sorted(one for one in read[8:] if one) == sorted(keys)
        for place, (symbol, answer) in enumerate(zip(read, asked, strict=True)):
            if place < 8 or symbol == 0:
                assert answer == IGNORE
            else:
                assert answer + 8 == values[keys.index(symbol)]


def test_where_keys_come_again() -> None:
    def mean_place(power: float) -> float:
        options = ("task.pairs=2", "task.length=64", f"task.power={power}")
        return float(np.mean([np.flatnonzero(r[4:])[0] for r, _ in examples("mqar", *options)]))

    # The first of two anywhere among 60 steps is at a third of them.
    assert mean_place(1) == pytest.approx(20, abs=4)
    assert mean_place(0.01) < 8


def constant(data: ArrayData, split: str) -> tuple[float, float]:
    """The best answer that is always the same: its loss and its accuracy."""
    _, targets = split_of(data, split)
    asked = targets.steps[targets.steps != IGNORE]
    shares = np.bincount(asked) / len(asked)
    return float(-(shares * np.log(shares)).sum()), float(shares.max())


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("parity", []),
        ("modular_arithmetic", []),
        ("modular_arithmetic", ["task.modulus=4", "task.min_length=5", "task.max_length=7"]),
        ("delayed_echo", ["task.symbols=3"]),
        ("bucket_sort", []),
        ("mqar", ["task.vocabulary=20"]),
    ],
)
def test_chance_is_the_best_constant_answer(name: str, overrides: list[str]) -> None:
    task, data = built(name, *overrides, "task.test_examples=20000")
    loss, accuracy = constant(data, "test")
    figures = task.baselines(data)["chance"]
    assert figures["test/loss"] == pytest.approx(loss, abs=0.002)
    assert figures["test/accuracy"] == pytest.approx(accuracy, abs=0.012)


def test_chance_of_copying_is_known_blanks_and_equally_likely_symbols() -> None:
    for name in ("copying", "selective_copying"):
        task, data = built(name, "task.delay=30", "task.test_delay=80", "task.test_examples=3000")
        _, targets = split_of(data, "test")
        steps = targets.steps.reshape(3000, 100)
        loss = (-np.log(np.where(steps == 0, 1.0, 1 / 8))).mean()
        assert task.baselines(data)["chance"]["test/loss"] == pytest.approx(loss, rel=1e-9)
        assert task.baselines(data)["chance"]["validation/loss"] == pytest.approx(math.log(8) / 5)
        shares = np.bincount(steps[steps > 0])[1:] / (steps > 0).sum()
        assert shares == pytest.approx(np.full(8, 1 / 8), abs=0.008)


def test_what_a_place_alone_tells_of_a_sorted_token() -> None:
    options = ("task.min_length=3", "task.max_length=6", "task.test_examples=40000")
    task, data = built("bucket_sort", *options)
    inputs, targets = split_of(data, "test")
    losses, rights = 0.0, 0
    for length in range(3, 7):
        chosen = np.flatnonzero(inputs.lengths == 2 * length)
        answers = targets.take(chosen).steps.reshape(len(chosen), -1)[:, length:]
        for column in answers.T:
            counts = np.bincount(column, minlength=5)
            shares = counts[counts > 0] / len(column)
            losses -= len(column) * float((shares * np.log(shares)).sum())
            rights += int(counts.max())
    asked = int((targets.steps != IGNORE).sum())
    figures = task.baselines(data)["place alone"]
    assert figures["test/loss"] == pytest.approx(losses / asked, abs=0.005)
    assert figures["test/accuracy"] == pytest.approx(rights / asked, abs=0.005)


def test_what_any_value_read_gives() -> None:
    task, data = built("mqar", "task.pairs=5", "task.test_examples=3000")
    inputs, targets = split_of(data, "test")
    rows = inputs.steps.reshape(3000, -1)
    asked = targets.steps.reshape(3000, -1)
    guess = rows[:, [1]] - 32
    right = (guess == asked)[asked != IGNORE].mean()
    assert task.baselines(data)["any value read"]["test/accuracy"] == pytest.approx(
        right, abs=0.01
    )
    assert task.baselines(data)["any value read"]["test/loss"] == pytest.approx(math.log(5))


@pytest.mark.parametrize(
    ("kinds", "deepest", "low", "high"), [(2, 3, 2, 12), (1, 2, 4, 8), (3, 1, 2, 6), (1, 1, 4, 4)]
)
def test_chance_of_brackets_is_what_the_latest_symbol_tells(
    kinds: int, deepest: int, low: int, high: int
) -> None:
    options = (
        f"task.brackets={kinds}", f"task.max_depth={deepest}", f"task.min_length={low}",
        f"task.max_length={high}", "task.test_examples=20000",
    )  # fmt: skip
    task, data = built("dyck", *options)
    inputs, targets = split_of(data, "test")
    loss, right = 0.0, np.zeros(len(inputs.steps), dtype=bool)
    for symbol in range(2 * kinds):
        mine = np.flatnonzero(inputs.steps == symbol)
        sets = targets.steps[mine]
        shares = sets.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = np.nan_to_num(shares * np.log(shares)) + np.nan_to_num(
                (1 - shares) * np.log(1 - shares)
            )
        loss -= len(mine) * bits.mean()
        kind, counts = np.unique(sets, axis=0, return_counts=True)
        right[mine] = (sets == kind[counts.argmax()]).all(axis=1)
    figures = task.baselines(data)["chance"]
    assert figures["test/loss"] == pytest.approx(loss / len(right), abs=0.01)
    assert figures["test/accuracy"] == pytest.approx(right.mean(), abs=0.015)
    strings = np.logical_and.reduceat(right, inputs.offsets[:-1]).mean()
    assert figures["test/sequence_accuracy"] == pytest.approx(strings, abs=0.01)


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("copying", "task.items=9"), ("selective_copying", "task.delay=101"),
        ("delayed_echo", "task.delay=9"), ("parity", "task.max_length=39"),
        ("modular_arithmetic", "task.modulus=4"), ("bucket_sort", "task.vocabulary=4"),
        ("dyck", "task.max_depth=7"), ("mqar", "task.power=0.5"),
    ],
)  # fmt: skip
def test_the_data_follows_from_its_seed_and_parameters_alone(name: str, override: str) -> None:
    _, data = built(name)
    assert built(name, "seed=7", "model.hidden_size=4", "cell=gru")[1].fingerprint == (
        data.fingerprint
    )
    for other in (override, "task.data_seed=1", "task.test_examples=151"):
        assert built(name, other)[1].fingerprint != data.fingerprint
    more = built(name, "task.train_examples=400")[1]
    contents: list[npt.NDArray[Any]] = []
    for split in ("train", "validation", "test"):
        inputs, _ = split_of(data, split)
        if split != "train":
            np.testing.assert_array_equal(split_of(more, split)[0].steps, inputs.steps)
        contents.append(inputs.steps[:500])
    for one, other_split in itertools.combinations(contents, 2):
        size = min(len(one), len(other_split))
        assert (one[:size] != other_split[:size]).any()


def test_lengths_are_equally_likely_and_those_of_the_test_apart() -> None:
    options = ("task.test_min_length=21", "task.test_max_length=30", "task.max_length=20")
    _, data = built("parity", *options, "task.train_examples=20000")
    lengths = split_of(data, "train")[0].lengths
    assert np.bincount(lengths, minlength=21)[1:] == pytest.approx(np.full(20, 1000), abs=150)
    assert set(split_of(data, "validation")[0].lengths) <= set(range(1, 21))
    assert set(split_of(data, "test")[0].lengths) == set(range(21, 31))
    assert data.name == "parity-1..20-21..30"

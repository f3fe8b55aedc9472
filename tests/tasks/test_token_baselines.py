"""The baselines of tasks that predict tokens: what they are, and that they are worked out once."""

import logging
import math
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

from unrolled.config.build import EVERYTHING
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.tasks import token_baselines
from unrolled.tasks.build import build_task, sources
from unrolled.tasks.kneser_ney import Ids, KneserNey, running_contexts

PREFIX = ("task=next_token", "tokenizer=word")
WINDOW = ("task=next_token", "tokenizer=char", "task.context=window", "task.window=2")

pytestmark = pytest.mark.usefixtures("text_file")


@cache
def config(*overrides: str) -> DictConfig:
    return compose_run(["dataset=text", "dataset.path=text.txt", *overrides])


def data_of(*overrides: str) -> Any:
    settings = config(*overrides)
    # Not prepare_data, which keeps what it has read.
    return build_task(settings.task).prepare(sources(settings, settings.paths.cache, EVERYTHING))


def found(*overrides: str) -> dict[str, dict[str, float]]:
    return build_task(config(*overrides).task).baselines(data_of(*overrides))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The orders of the models that were counted since."""
    seen: list[int] = []

    class Counted(KneserNey):
        def __init__(self, contexts: Ids, targets: Ids, vocabulary_size: int) -> None:
            seen.append(contexts.shape[1] + 1)
            time.sleep(0.05)
            super().__init__(contexts, targets, vocabulary_size)

    monkeypatch.setattr(token_baselines, "KneserNey", Counted)
    return seen


def test_the_uniform_guess() -> None:
    size = data_of().fitted.vocabulary_size
    uniform = found()["uniform"]
    for split in ("validation", "test"):
        assert uniform[f"{split}/loss"] == pytest.approx(math.log(size))
        assert uniform[f"{split}/perplexity"] == pytest.approx(size)
        # A token is a character here.
        assert uniform[f"{split}/bits_per_character"] == pytest.approx(math.log2(size))
        assert uniform[f"{split}/accuracy"] == 1 / size


def test_the_unigram_is_that_of_the_data() -> None:
    data = data_of("tokenizer=word")
    unigram = found("tokenizer=word")["unigram"]
    for split, perplexity in data.unigram_perplexity.items():
        assert unigram[f"{split}/perplexity"] == perplexity
        assert unigram[f"{split}/loss"] == math.log(perplexity)
    guess = np.bincount(data.ids["train"]).argmax()
    assert unigram["test/accuracy"] == np.mean(data.ids["test"] == guess)


@pytest.mark.parametrize(
    ("tokenizer", "order"), [("char", 8), ("byte", 8), ("word", 5), ("bpe", 5)]
)
def test_the_order_follows_from_what_a_token_is(tokenizer: str, order: int) -> None:
    labels = ["uniform", "unigram", f"{order}-gram"]
    assert list(found(f"tokenizer={tokenizer}")) == labels


def test_the_ngram_figures_are_of_the_whole_split() -> None:
    data = data_of("tokenizer=word")
    ids, start = data.ids, data.tokenizer.start_id
    model = KneserNey(
        running_contexts(ids["train"], start, 3), ids["train"], data.tokenizer.vocabulary_size
    )
    figures = found("tokenizer=word", "task.ngram_order=3")["3-gram"]
    for split in ("validation", "test"):
        each = model.probabilities(running_contexts(ids[split], start, 3), ids[split])
        assert len(each) == data.sizes[split]["tokens"]
        loss = -np.log(each).mean()
        assert figures[f"{split}/loss"] == pytest.approx(loss)
        assert figures[f"{split}/perplexity"] == pytest.approx(np.exp(loss))
        bits = -np.log2(each).sum() / data.sizes[split]["characters"]
        assert figures[f"{split}/bits_per_character"] == pytest.approx(bits)


def test_it_can_be_left_out(counted: list[int]) -> None:
    for overrides in ((), PREFIX, WINDOW):
        labels = list(found(*overrides, "task.ngram_order=0"))
        assert labels == ["uniform", "unigram"]
    assert not counted
    with pytest.raises(ConfigError, match=r"task\.ngram_order=-1"):
        found("task.ngram_order=-1")


def test_a_large_text_is_counted_on_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_baselines, "MOST_TOKENS", 100)
    assert list(found()) == ["uniform", "unigram"]
    assert "4-gram" in found("task.ngram_order=4")


@pytest.mark.parametrize("overrides", [(), PREFIX, WINDOW])
def test_it_is_counted_once_for_each_data_set_and_order(
    counted: list[int], overrides: tuple[str, ...]
) -> None:
    first = found(*overrides, "task.ngram_order=3")
    assert found(*overrides, "task.ngram_order=3") == first
    assert counted == [3]
    found(*overrides, "task.ngram_order=2")
    assert counted == [3, 2]
    with Path("text.txt").open("a") as file:
        file.write("more text\n")
    assert found(*overrides, "task.ngram_order=3") != first
    assert counted == [3, 2, 3]


def test_what_is_counted_of_one_text_depends_on_the_task(counted: list[int]) -> None:
    lines = ("tokenizer=word", "task.ngram_order=3")
    losses = [
        found(*overrides, *lines)["3-gram"]["test/loss"]
        for overrides in (
            (),
            PREFIX,
            (*PREFIX, "task.context=window", "task.window=2"),
            (*PREFIX, "task.context=window", "task.window=4"),
            (*PREFIX, "task.max_length=2"),
        )
    ]
    assert len(counted) == 5
    # A shorter prefix is enough for two tokens of context; elsewhere others are predicted.
    assert losses[4] == losses[1]
    assert len(set(losses)) == 4


def test_runs_that_begin_together_count_once(counted: list[int]) -> None:
    data_of()
    threads = [threading.Thread(target=found, args=()) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == [8]


@pytest.mark.parametrize("content", ["", "{}", '{"validation": 1.0, "test": []}', "[1]"])
def test_a_damaged_entry_is_made_again(
    tmp_path: Path,
    counted: list[int],
    content: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = found()
    (entry,) = (tmp_path / "cache").glob("ngrams-*.json")
    entry.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert found() == first
    assert "damaged" in caplog.text
    assert found() == first
    assert counted == [8, 8]


def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, counted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    override = f"paths.cache={tmp_path / 'file' / 'cache'}"
    with caplog.at_level(logging.WARNING):
        assert found(override) == found(override)
    assert counted == [8, 8]
    assert "cannot be cached" in caplog.text


def test_of_prefixes_it_reads_no_more_than_the_line() -> None:
    data = data_of(*PREFIX)
    figures = found(*PREFIX, "task.ngram_order=3")["3-gram"]
    (contexts, targets), (others, wanted) = data.splits["train"], data.splits["test"]

    def last_two(each: Any) -> Ids:
        return np.array([[-1, *each[i].tolist()][-2:] for i in range(len(each))])

    model = KneserNey(last_two(contexts), targets, data.fitted.vocabulary_size)
    loss = -np.log(model.probabilities(last_two(others), wanted)).mean()
    assert figures["test/loss"] == pytest.approx(loss)
    assert set(figures) == {f"{s}/{m}" for s in ("validation", "test")
                            for m in ("loss", "perplexity")}  # fmt: skip


def test_a_window_bounds_the_order() -> None:
    assert list(found(*WINDOW)) == ["uniform", "unigram", "3-gram"]

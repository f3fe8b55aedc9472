"""Runs with heads for large vocabularies: what they record, and what is done with them later."""

import csv
import math
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from unrolled.commands.evaluate import evaluate
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.models.clusters import choose_cutoffs
from unrolled.runs.record import read_record
from unrolled.tasks.build import check_task, prepare_data
from unrolled.training import devices, precision
from unrolled.training.load import load_run
from unrolled.training.run import run

Command = Callable[..., CompletedProcess[str]]
WORDS = [f"w{place}" for place in random.Random(0).sample(range(700), 700)]


def zipf_text(lines: int, seed: int, words: list[str] = WORDS) -> str:
    """Lines of words that are as frequent as Zipf's law has it."""
    weights = [1 / (1 + place) for place in range(len(words))]
    draw = random.Random(seed)
    return "".join(" ".join(draw.choices(words, weights, k=8)) + "\n" for _ in range(lines))


def configured(folder: Path, *options: str) -> DictConfig:
    path = folder / "text.txt"
    text = "\n".join(WORDS) + "\n" + zipf_text(700, 1)
    path.write_text(text, encoding="utf-8")
    return compose_run([
        *("tokenizer=word", "dataset=text", f"dataset.path={path}", "model.hidden_size=16"),
        *("model.embedding_size=12", "task.batch_size=4", "task.sequence_length=16"),
        *("trainer.max_steps=20", "trainer.validate_every_steps=10", "task.sample.length=3"),
        *("trainer.log_every_steps=5", "optimizer.lr=0.02", "task.ngram_order=0"),
        *(f"paths.outputs={folder}/outputs", f"paths.cache={folder}/cache", *options),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tied adaptive softmax; do not write to it."""
    folder = tmp_path_factory.mktemp("adaptive")
    made = run(configured(folder, "head=adaptive", "model.tied_weights=true")).folder
    assert made is not None
    return made


def training_counts(folder: Path) -> np.ndarray:
    data: Any = prepare_data(load_run(folder).config)
    return np.bincount(data.ids["train"], minlength=data.fitted.vocabulary_size)


def test_clusters_are_fitted_to_the_training_split_and_kept(adaptive: Path) -> None:
    counts = training_counts(adaptive)
    expected = choose_cutoffs(counts, 4.0)
    assert read_record(adaptive).model["cutoffs"] == expected
    stored = load_run(adaptive)
    order = torch.from_numpy(np.argsort(-counts, kind="stable"))
    assert not torch.equal(order, torch.arange(len(counts)))
    for model in (stored.best_model(), stored.initial_model()):
        assert torch.equal(model.head.get_buffer("order"), order)
        assert torch.equal(model.encoder.get_buffer("ranks")[order], torch.arange(len(counts)))


def test_the_record_counts_what_is_shared_once(adaptive: Path) -> None:
    record = read_record(adaptive)
    parameters = dict(load_run(adaptive).best_model().named_parameters())
    assert record.model["parameters"] == sum(p.numel() for p in parameters.values())
    assert not any(name.startswith("head.outputs") and "weight" in name for name in parameters)


def test_other_data_is_read_by_the_clusters_of_training(
    adaptive: Path, tmp_path: Path, command: Command
) -> None:
    text = zipf_text(40, 3, WORDS[::-1])
    splits = tmp_path / "splits"
    splits.mkdir()
    for split in ("train", "valid", "test"):
        (splits / f"{split}.txt").write_text(text, encoding="utf-8")
    found = evaluate(adaptive, ["dataset=splits", f"dataset.path={splits}"], splits=["test"])
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    command("surprisal", str(adaptive), "--file", "text.txt", "--csv", "out.csv")
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        bits = [float(row["bits"]) for row in csv.DictReader(file)]
    assert sum(bits) / len(bits) * math.log(2) == pytest.approx(found.metrics["test/loss"])
    assert found.metrics["test/accuracy"] <= found.metrics["test/accuracy_top5"]


def test_it_writes_text_and_is_diagnosed(adaptive: Path, tmp_path: Path, command: Command) -> None:
    drawn = command("generate", str(adaptive), "--prompt", "w1 w2", "--length", "30").stdout
    assert len(drawn.split()) > 10
    beams = ["--prompt", "w1 w2", "--length", "5", "--beams", "3"]
    assert command("generate", str(adaptive), *beams).stdout.startswith("w1 w2")
    copy = shutil.copytree(adaptive, tmp_path / "copy")
    assert "memory" in command("diagnose", str(copy), "--tokens", "300").stdout


@pytest.mark.skipif(not devices.has_bf16("cpu"), reason="the CPU has no bf16")
@pytest.mark.parametrize(
    "options",
    [["head=adaptive"], ["head=sampled", "head.samples=64", "head.proposal=log_uniform"]],
)
def test_half_precision_and_budgets(options: list[str], tmp_path: Path) -> None:
    budget = ["budget.parameters=30000", "trainer.precision=bf16", "model.tied_weights=true"]
    folder = run(configured(tmp_path, *options, *budget)).folder
    assert folder is not None
    record = read_record(folder)
    assert record.model["parameters"] == pytest.approx(30_000, rel=0.01)
    # Above that of the unigram after so few steps, and far below that of a guess.
    assert record.metrics["test/perplexity"] < 500
    assert evaluate(folder).identical


@pytest.mark.parametrize("head", ["linear", "adaptive"])
def test_auto_is_bf16_where_many_tokens_are_scored(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    monkeypatch.setattr(precision, "SMALLEST_FLOPS", 0)
    assert recorded_precision(tmp_path / "few", f"head={head}") == "fp32"
    monkeypatch.setattr(precision, "MANY_CLASSES", len(WORDS))
    assert recorded_precision(tmp_path / "many", f"head={head}") == "bf16"


def recorded_precision(folder: Path, *options: str) -> str:
    folder.mkdir()
    made = run(configured(folder, "trainer.max_steps=1", *options)).folder
    assert made is not None
    chosen: str = read_record(made).model["precision"]
    return chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["head=adaptive", "head.cutoffs=[20,10]"], "above the one before"),
        (["head=adaptive", "head.cutoffs=[20,9000]"], "the last cluster would be empty"),
        (["head=adaptive", "tokenizer=char"], "too small for clusters.*take head=linear"),
        (
            ["head=sampled", "head.samples=4000"],
            r"head\.samples=4000: the vocabulary has .*linear",
        ),
        (["head=adaptive", "head.div_value=0.5"], r"head\.div_value=0\.5: must be at least 1"),
        (["head=adaptive", "head.samples=5"], r"head\.samples"),
        (["head=sampled", "head.proposal=zipf"], r"head\.proposal=zipf.*unigram or log_uniform"),
    ],
)
def test_what_no_head_could_do_is_refused(
    options: list[str], message: str, tmp_path: Path
) -> None:
    try:
        outcome = run(configured(tmp_path, *options))
        assert outcome.status == "failed"
        said = outcome.message
    except ConfigError as error:
        # What is known before there is a folder for the run.
        said = str(error)
    assert re.search(message, said)
    assert "\n" not in said


def test_a_task_without_tokens_brings_its_own_head() -> None:
    config = compose_run(["task=regression", "head=adaptive"])
    with pytest.raises(ConfigError, match="task=regression has no tokens to predict"):
        check_task(config)

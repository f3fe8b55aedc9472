import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch.optim.optimizer import register_optimizer_step_post_hook

from unrolled.commands.evaluate import evaluate
from unrolled.config.compose import compose_run
from unrolled.errors import DeviceError
from unrolled.recurrence import backends
from unrolled.runs.record import Record, read_record
from unrolled.tasks.build import build_task, prepare_data
from unrolled.training import devices, precision
from unrolled.training.checkpoints import best_checkpoint
from unrolled.training.fit import make_batches
from unrolled.training.run import run

Configure = Callable[..., DictConfig]
NEEDS_BF16 = pytest.mark.skipif(not devices.has_bf16("cpu"), reason="the CPU has no bf16")


@pytest.fixture
def train(configure: Configure) -> Callable[..., Record]:
    def trained(*overrides: str) -> Record:
        outcome = run(configure("logger=none", *overrides))
        assert outcome.folder is not None
        return read_record(outcome.folder)

    return trained


def steps(record: Record) -> list[float]:
    return [entry["step"] for entry in record.history]


def test_the_last_step_is_validated_wherever_the_interval_falls(
    train: Callable[..., Record],
) -> None:
    assert steps(train("trainer.max_steps=25")) == [10, 20, 25]
    assert steps(train("trainer.max_steps=5")) == [5]


def test_without_an_interval_each_epoch_ends_with_a_validation(
    train: Callable[..., Record],
) -> None:
    record = train(
        "trainer.validate_every_steps=null", "trainer.max_steps=null", "trainer.max_epochs=2"
    )
    sizes = record.data["sizes"]["train"]["tokens"]
    epoch = math.ceil(math.ceil(sizes / 4) / 16)
    assert steps(record) == [epoch, 2 * epoch]
    assert [entry["epoch"] for entry in record.history] == [1, 2]
    # Every token of the training split, twice.
    assert record.timing["tokens"] == 2 * sizes


def test_whichever_end_comes_first(train: Callable[..., Record]) -> None:
    assert steps(train("trainer.max_steps=15", "trainer.max_epochs=50"))[-1] == 15


def test_early_stopping_and_the_best_checkpoint_look_at_validation(
    train: Callable[..., Record],
) -> None:
    # A rate this high gets worse, so the best is not the last.
    record = train(
        "trainer.early_stopping_patience=2",
        "trainer.max_steps=2000",
        "trainer.validate_every_steps=5",
        "optimizer.lr=0.3",
    )
    losses = [entry["validation/loss"] for entry in record.history]
    best = losses.index(min(losses))
    assert steps(record)[-1] < 2000
    assert len(losses) == best + 3
    assert record.best["step"] == steps(record)[best]
    folder = Path("outputs/default") / record.name
    assert best_checkpoint(folder).step == record.best["step"]


def test_one_training_batch_is_learned_by_heart(train: Callable[..., Record]) -> None:
    record = train(
        "trainer=overfit", "trainer.max_steps=300", "model.hidden_size=64", "optimizer.lr=0.02"
    )
    assert record.metrics["validation/accuracy"] > 0.95
    assert record.metrics["test/accuracy"] < record.metrics["validation/accuracy"]


def test_the_one_batch_preset_goes_through_everything_once(
    train: Callable[..., Record],
) -> None:
    preset = compose_run(["trainer=one_batch"]).trainer
    assert (preset.max_steps, preset.limit_batches) == (1, 1)
    record = train("trainer=one_batch", "trainer.max_steps=1")
    assert steps(record) == [1]
    assert "test/perplexity" in record.metrics


def test_the_deterministic_preset(train: Callable[..., Record]) -> None:
    threads = torch.get_num_threads()
    try:
        record = train("trainer=deterministic", "trainer.max_steps=5")
        assert record.environment["threads"] == 1
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def test_the_profiler_preset_leaves_a_table(train: Callable[..., Record]) -> None:
    record = train("trainer=profiler", "trainer.max_steps=5")
    table = Path("outputs/default") / record.name / "fit-profile.txt"
    assert "run_training_epoch" in table.read_text()


def test_a_plateau_follows_each_validation_and_not_the_epochs(configure: Configure) -> None:
    # About 20 steps to an epoch, and a validation every 7: never twice at the same place.
    outcome = run(
        configure(
            "task.batch_size=16",
            "task.sequence_length=32",
            "trainer.max_steps=60",
            "trainer.validate_every_steps=7",
            "trainer.log_every_steps=1",
            "scheduler=plateau",
            "scheduler.patience=0",
            "scheduler.minimum_lr=0",
            "optimizer=sgd",
            # So little that no validation is better than the first.
            "trainer.gradient_clip=1e-9",
        )
    )
    assert outcome.folder is not None
    with (outcome.folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["optimizer/lr"]]
    rates = {int(row["step"]): float(row["optimizer/lr"]) for row in rows}
    assert {entry["epoch"] for entry in read_record(outcome.folder).history} >= {1, 2, 3}
    lowered = [step for step in sorted(rates)[1:] if rates[step] < rates.get(step - 1, 1)]
    # Step 8 is the first after a validation, which is the first to be the lowest.
    assert lowered == list(range(15, 61, 7))


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_step_s_rate_is_in_proportion_to_its_drawn_length(
    configure: Configure, schedule: str
) -> None:
    used: list[float] = []
    hook = register_optimizer_step_post_hook(
        lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"])
    )
    try:
        options = ["task.variable_length=true", "optimizer=sgd", "optimizer.lr=0.5"]
        steps = [f"scheduler={schedule}", "trainer.max_steps=12", "trainer.log_every_steps=1"]
        if schedule == "cosine":
            steps += ["scheduler.warmup_steps=0", "scheduler.final_fraction=0"]
        config = configure(*options, *steps)
        folder = run(config).folder
    finally:
        hook.remove()
    assert folder is not None
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["optimizer/lr"]]
    rates = [float(row["optimizer/lr"]) for row in rows]
    # What is logged, and what a schedule goes on from, is the rate of a whole length.
    expected = [0.5 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    assert rates == pytest.approx([0.5] * 12 if schedule == "plateau" else expected, abs=1e-3)
    data = prepare_data(config)
    batches = make_batches(config, build_task(config.task), data).training(0, 1)
    lengths = [len(batch.inputs) for batch in itertools.islice(batches, 12)]
    assert len(set(lengths)) > 3
    assert used == pytest.approx(
        [rate * length / 16 for rate, length in zip(rates, lengths, strict=True)], rel=1e-6
    )


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        ("adamw", "constant"),
        ("adam", "cosine"),
        ("sgd", "exponential"),
        ("rmsprop", "step"),
        ("sgd", "plateau"),
        ("nt_asgd", "constant"),
        ("adamw_ema", "cosine"),
    ],
)
def test_every_optimizer_and_every_schedule(
    train: Callable[..., Record], optimizer: str, scheduler: str
) -> None:
    record = train(
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        "trainer.max_steps=4",
        "optimizer.lr=0.01",
    )
    assert record.status == "finished"


@pytest.mark.parametrize(
    ("cell", "tokenizer"),
    [("rnn_tanh", "char"), ("rnn_relu", "byte"), ("lstm", "word"), ("gru", "bpe")],
)
def test_every_cell_and_every_tokenizer(
    train: Callable[..., Record], cell: str, tokenizer: str
) -> None:
    options = ["tokenizer.vocabulary_size=280"] if tokenizer == "bpe" else []
    record = train(
        f"cell={cell}", f"tokenizer={tokenizer}", "trainer.max_steps=4", "model.layers=2",
        "model.tied_weights=true", "model.dropout=0.2", "model.locked_dropout=true", *options,
    )  # fmt: skip
    assert record.metrics["test/perplexity"] > 1
    assert (record.model["layers"], record.data["tokenizer"]) == (2, tokenizer)


def test_the_backends_of_a_cell_learn_the_same(train: Callable[..., Record]) -> None:
    native = train("cell=gru", "cell.backend=native")
    eager = train("cell=gru", "cell.backend=eager")
    assert (native.model["backend"], eager.model["backend"]) == ("native", "eager")
    for name, value in native.metrics.items():
        if "loss" in name:
            assert eager.metrics[name] == pytest.approx(value, rel=1e-4)


def test_what_is_added_to_the_loss_is_learned_from_and_not_reported(
    train: Callable[..., Record],
) -> None:
    one = ["trainer.max_steps=1", "trainer.validate_every_steps=1"]
    without = train(*one)
    penalties = ("activation_regularization", "temporal_activation_regularization")
    for name in penalties:
        added = train(*one, f"model.{name}=1000")
        assert added.history[0]["train/loss"] == without.history[0]["train/loss"]
        assert added.metrics["test/loss"] != without.metrics["test/loss"]


def test_budgets_are_met_by_every_cell(train: Callable[..., Record]) -> None:
    for cell in ("rnn_tanh", "lstm", "gru"):
        record = train(f"cell={cell}", "budget.parameters=20000", "trainer.max_steps=1")
        assert record.model["parameters"] == pytest.approx(20000, rel=0.01)
    record = train("budget=equal_flops", "budget.flops=60000", "trainer.max_steps=1")
    assert record.model["flops_per_token"] == pytest.approx(60000, rel=0.02)


@NEEDS_BF16
def test_bf16_comes_close_to_fp32(train: Callable[..., Record]) -> None:
    exact = train("trainer.max_steps=40")
    rounded = train("trainer.max_steps=40", "trainer.precision=bf16")
    assert rounded.metrics["test/loss"] != exact.metrics["test/loss"]
    assert rounded.metrics["test/loss"] == pytest.approx(exact.metrics["test/loss"], rel=0.05)


@NEEDS_BF16
def test_what_auto_chose_is_recorded_and_evaluated_in(
    train: Callable[..., Record], configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("cell=gru", "trainer.max_steps=20").model["precision"] == "fp32"
    # Large enough, and on a processor that multiplies in bf16.
    monkeypatch.setattr(backends, "HALF_STEP", 0)
    monkeypatch.setattr(backends, "HALF_STEP_COMPILED", 0)
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    record = train("cell=gru", "trainer.max_steps=20", "seed=2")
    explicit = train("cell=gru", "trainer.max_steps=20", "seed=2", "trainer.precision=bf16")
    assert record.model["precision"] == explicit.model["precision"] == "bf16"
    assert record.metrics == explicit.metrics
    # Where it is evaluated does not decide.
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    folder = run(configure("logger=none", "cell=gru", "trainer.max_steps=20", "seed=2")).folder
    assert folder is not None
    assert evaluate(folder, splits=["test"]).identical


@NEEDS_BF16
def test_auto_is_bf16_where_a_steps_product_is_large(
    train: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    short = ["task.batch_size=32", "trainer.max_steps=1"]

    def precision_of(cell: str, size: int) -> object:
        return train(*short, f"cell={cell}", f"model.hidden_size={size}").model["precision"]

    # Half a million multiplications: 32 sequences and a matrix of 125 by 125, or of 4 x 63 by 63.
    assert precision_of("rnn_tanh", 125) == precision_of("lstm", 63) == "bf16"
    assert precision_of("rnn_tanh", 124) == precision_of("lstm", 62) == "fp32"
    # Without compiled code two million, and an LSTM gains from twelve million on, 4 x 307 by 307.
    monkeypatch.setattr(backends, "kernel_for", lambda cell: None)
    assert precision_of("rnn_tanh", 250) == precision_of("lstm", 307) == "bf16"
    assert precision_of("rnn_tanh", 249) == precision_of("lstm", 306) == "fp32"


def test_a_gpu_and_bf16_are_refused_where_there_are_none(
    train: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="take trainer=cpu"):
        train("trainer=gpu")
    monkeypatch.setattr(devices, "has_bf16", lambda accelerator: False)
    with pytest.raises(DeviceError, match=r"trainer\.precision=bf16.*fp32"):
        train("trainer.precision=bf16")

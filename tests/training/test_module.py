import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor
from torch.nn import functional as F

from unrolled.config.compose import compose_run
from unrolled.data.batches import IGNORE, Batch
from unrolled.data.corpus import Corpus
from unrolled.data.module import StreamModule
from unrolled.data.tokenizers import CharTokenizer
from unrolled.data.tokens import TokenizedCorpus, prepare
from unrolled.errors import DivergedError
from unrolled.runs.identity import plain
from unrolled.tasks.build import build_task
from unrolled.training import module
from unrolled.training.fit import make_batches, make_module, run_length
from unrolled.training.module import TaskModule
from unrolled.training.trainer import make_evaluator, make_trainer, silence_lightning

ALPHABET = "abcdefgh \n"
SMALL = (
    "model.hidden_size=12", "model.embedding_size=6", "model.layers=2", "task.batch_size=4",
    "task.sequence_length=5", "trainer.threads=1", "trainer.max_steps=null",
    "trainer.validate_every_steps=null", "trainer.max_epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> TokenizedCorpus:
    """A text whose training split gives its four streams 17, 17, 17 and 16 tokens."""
    generator = np.random.default_rng(0)
    texts = ("".join(generator.choice(list(ALPHABET), size)) for size in (67, 211, 150))
    tokenizer = CharTokenizer(name="char", minimum_count=1, lowercase=False)
    return prepare(Corpus("tiny", *texts), tokenizer, None)


@pytest.fixture(scope="module")
def base() -> DictConfig:
    return plain(compose_run(SMALL))


class DictionaryLogger(DummyLogger):
    """Keeps what was written at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        self.written.setdefault(step, {}).update(metrics)


class Spy(pl.Callback):
    """What the model was given and gave at each training step, and what became of the loss."""

    def __init__(self, task: TaskModule) -> None:
        self.given: list[Any] = []
        self.logits: list[Tensor] = []
        self.final: list[Any] = []
        self.losses: list[float] = []
        self.batches: list[Batch] = []
        self.epochs: list[int] = []
        self.logger = DictionaryLogger()
        self.head = task.model.head
        task.model.register_forward_hook(self._forward)

    def _forward(self, module: torch.nn.Module, given: Any, result: Any) -> None:
        if module.training:
            self.given.append(given[1] if len(given) > 1 else None)
            self.logits.append(self.head.scores(result[0].detach()).detach())
            self.final.append(result[1])

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        self.batches.append(batch)
        self.epochs.append(trainer.current_epoch)


Prepare = Callable[..., tuple[pl.Trainer, TaskModule, StreamModule, Spy]]


@pytest.fixture
def put_together(data: TokenizedCorpus, base: DictConfig, tmp_path: Path) -> Prepare:
    """A trainer, a task, its batches and a spy, as a run has them; keywords are keys with ``__``
    for the dot."""

    def put(*callbacks: pl.Callback, **changes: Any) -> Any:
        silence_lightning()
        config = base.copy()
        for key, value in changes.items():
            group, _, name = key.partition("__")
            config[group][name] = value
        torch.manual_seed(0)
        task = build_task(config.task)
        batches = make_batches(config, task, data)
        length = run_length(config, task, batches)
        trained = make_module(config, task, data, length)
        spy = Spy(trained)
        trainer = make_trainer(config, "fp32", tmp_path, length, [spy.logger], [spy, *callbacks])
        return trainer, trained, batches, spy

    return put


def flat(states: Any) -> list[Tensor]:
    return [part for state in states for part in state]


def test_the_state_is_carried_through_an_epoch_and_begins_anew_with_the_next(
    put_together: Prepare,
) -> None:
    trainer, task, batches, spy = put_together()
    trainer.fit(task, batches)
    assert spy.epochs == [0] * 4 + [1] * 4
    for index in (0, 4):
        assert spy.given[index] is None
    for index in (1, 2, 3, 5, 6, 7):
        for given, left in zip(flat(spy.given[index]), flat(spy.final[index - 1]), strict=True):
            assert torch.equal(given, left.detach())
            # Truncated: no step learns from what came before its own batch.
            assert not given.requires_grad
            assert left.requires_grad


def test_a_validation_between_two_batches_leaves_the_training_state_dict_alone(
    put_together: Prepare,
) -> None:
    trainer, task, batches, spy = put_together(trainer__validate_every_steps=2)
    trainer.fit(task, batches)
    for given, left in zip(flat(spy.given[2]), flat(spy.final[1]), strict=True):
        assert torch.equal(given, left.detach())


def test_every_token_is_trained_on_once_an_epoch(
    put_together: Prepare, data: TokenizedCorpus
) -> None:
    trainer, task, batches, spy = put_together(trainer__max_epochs=1)
    trainer.fit(task, batches)
    targets = torch.cat([batch.targets for batch in spy.batches])
    streams = [column[column != IGNORE] for column in targets.T]
    assert torch.cat(streams).tolist() == data.ids["train"].tolist()


def test_the_loss_is_the_mean_over_the_tokens_of_a_batch(put_together: Prepare) -> None:
    trainer, task, batches, spy = put_together()
    trainer.fit(task, batches)
    shapes = {tuple(batch.targets.shape) for batch in spy.batches}
    assert shapes == {(5, 4), (2, 4)}  # the last chunk is shorter, and has one token less
    assert sum(int((batch.targets == IGNORE).sum()) for batch in spy.batches) == 2
    for batch, logits, loss in zip(spy.batches, spy.logits, spy.losses, strict=True):
        expected = F.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE
        )
        assert loss == pytest.approx(float(expected), rel=1e-6)
        assert batch.tokens == int((batch.targets != IGNORE).sum())


def test_the_logged_training_loss_is_over_the_tokens_since_the_last_one(
    put_together: Prepare, data: TokenizedCorpus
) -> None:
    trainer, task, batches, spy = put_together(trainer__log_every_steps=4, trainer__max_epochs=1)
    trainer.fit(task, batches)
    sizes = [batch.tokens for batch in spy.batches]
    mean = sum(n * loss for n, loss in zip(sizes, spy.losses, strict=True)) / sum(sizes)
    # Steps count from 1, and between two that are due nothing is written.
    training = {step: v for step, v in spy.logger.written.items() if "train/loss" in v}
    assert next(iter(training)) == len(sizes) == 4
    logged = training[4]
    assert logged["train/loss"] == pytest.approx(mean, rel=1e-6)
    assert logged["train/perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert logged["optimizer/lr"] == pytest.approx(rate)
    assert logged["optimizer/gradient_norm"] > 0
    batch, logits = spy.batches[3], spy.logits[3]
    kept = batch.targets != IGNORE
    accuracy = (logits.argmax(-1) == batch.targets)[kept].double().mean()
    assert logged["train/accuracy"] == pytest.approx(float(accuracy), rel=1e-6)


def expected_nll(task: TaskModule, ids: Any, start: int) -> Tensor:
    """Of each token of a split, read as one sequence by a float64 copy of the model."""
    inputs = torch.tensor([start, *ids[:-1].tolist()])[:, None]
    task.model.double().eval()
    with torch.no_grad():
        hidden, _ = task.model(inputs)
        logits = task.model.head.scores(hidden)
    nll = F.cross_entropy(logits[:, 0], torch.tensor(ids.tolist()), reduction="none")
    task.model.float()
    return nll


def test_a_fixed_models_figures_do_not_depend_on_the_chunk(
    put_together: Prepare, base: DictConfig, data: TokenizedCorpus
) -> None:
    trainer, task, batches, _ = put_together(trainer__max_epochs=1)
    trainer.fit(task, batches)
    evaluator = make_evaluator(base, "fp32")
    found = {}
    for length in (1, 7, 35, 1000):
        batches.evaluation_sequence_length = length
        evaluator.test(task, batches.evaluation_dataloader("test"), verbose=False)
        found[length] = task.results["test"]
        assert int(task.evaluator.tokens) == len(data.ids["test"]) == 150
    exact = math.exp(float(expected_nll(task, data.ids["test"], data.tokenizer.start_id).mean()))
    for length in found:
        assert found[length]["test/perplexity"] == pytest.approx(exact, rel=1e-6)
        assert found[length] == pytest.approx(found[1], rel=1e-6)
    assert found[7] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("streams", [2, 4, 7])
def test_streams_of_unequal_length_are_weighted_by_their_tokens(
    put_together: Prepare, base: DictConfig, data: TokenizedCorpus, streams: int
) -> None:
    _, task, batches, _ = put_together(task__evaluation_batch_size=streams)
    batches.evaluation_sequence_length = 10
    make_evaluator(base, "fp32").test(
        task, batches.evaluation_dataloader("validation"), verbose=False
    )
    ids, before = data.ids["validation"], data.tokenizer.start_id
    total = 0.0
    for part in np.array_split(ids, streams):
        total += float(expected_nll(task, part, before).sum())
        before = int(part[-1])
    assert int(task.evaluator.tokens) == len(ids)
    assert task.results["test"]["test/loss"] == pytest.approx(total / len(ids), rel=1e-6)


def test_each_evaluation_begins_without_what_the_last_one_left(
    put_together: Prepare, base: DictConfig
) -> None:
    _, task, batches, _ = put_together()
    evaluator = make_evaluator(base, "fp32")
    evaluator.test(task, batches.evaluation_dataloader("test"), verbose=False)
    first = task.results["test"]
    evaluator.test(task, batches.evaluation_dataloader("test"), verbose=False)
    assert task.results["test"] == first


def test_a_split_is_named_and_has_its_own_characters(
    put_together: Prepare, base: DictConfig, data: TokenizedCorpus
) -> None:
    _, task, batches, _ = put_together()
    characters = {"train": 67, "validation": 2 * 211, "test": 75}
    task.data = replace(data, characters=characters)
    evaluator = make_evaluator(base, "fp32")
    for split, factor in (("validation", 0.5), ("test", 2.0)):
        task.tested_split = split
        evaluator.test(task, batches.evaluation_dataloader(split), verbose=False)
        values = task.results[split]
        assert all(name.startswith(f"{split}/") for name in values)
        bits = values[f"{split}/loss"] * factor / math.log(2)
        assert values[f"{split}/bits_per_character"] == pytest.approx(bits)


class Poison(pl.Callback):
    """Make the weights NaN before the given step, steps counted from 1."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, task: Any, batch: Any, index: int) -> None:
        if trainer.global_step + 1 == self.step:
            with torch.no_grad():
                task.model.head.linear.bias.fill_(torch.nan)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(
    put_together: Prepare, step: int
) -> None:
    trainer, task, batches, spy = put_together(Poison(step))
    # Before the first update no rate can be the reason.
    why = r", before any weight has changed.*unrolled check" if step == 1 else r";.*optimizer\.lr"
    with pytest.raises(DivergedError, match=rf"at step {step}{why}"):
        trainer.fit(task, batches)
    assert len(spy.losses) == step - 1


def test_an_evaluation_that_is_no_number_is_refused(
    put_together: Prepare, base: DictConfig
) -> None:
    _, task, batches, _ = put_together()
    head: Any = task.model.head
    torch.nn.init.constant_(head.linear.bias, torch.nan)
    with pytest.raises(DivergedError, match="the test loss became inf at step 0"):
        make_evaluator(base, "fp32").test(
            task, batches.evaluation_dataloader("test"), verbose=False
        )


class OverflowingValidation(pl.Callback):
    """Let the weights be NaN during the first validation, and keep what each one found."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []

    def on_validation_start(self, trainer: pl.Trainer, task: Any) -> None:
        self.bias = task.model.head.linear.bias.detach().clone()
        if not self.found:
            torch.nn.init.constant_(task.model.head.linear.bias, torch.nan)

    def on_validation_end(self, trainer: pl.Trainer, task: Any) -> None:
        self.found.append(dict(task.results["validation"]))
        with torch.no_grad():
            task.model.head.linear.bias.copy_(self.bias)


def test_an_early_validation_that_overflows_is_infinite_and_training_goes_on(
    put_together: Prepare,
) -> None:
    overflow = OverflowingValidation()
    trainer, task, batches, spy = put_together(overflow, trainer__early_stopping_patience=5)
    trainer.fit(task, batches)
    first, second = overflow.found
    assert first["validation/loss"] == first["validation/perplexity"] == math.inf
    assert math.isfinite(second["validation/loss"])
    assert len(spy.losses) == 8


@pytest.mark.parametrize("rows", [4, 9, 1000])
def test_a_long_evaluation_runs_in_parts_and_comes_out_the_same(
    put_together: Prepare, base: DictConfig, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    _, task, batches, _ = put_together(task__evaluation_batch_size=3)
    evaluator = make_evaluator(base, "fp32")
    evaluator.test(task, batches.evaluation_dataloader("test"), verbose=False)
    whole = task.results["test"]
    longest = []
    task.model.register_forward_hook(lambda _, given, __: longest.append(given[0].numel()))
    monkeypatch.setattr(module, "ROWS", rows)
    evaluator.test(task, batches.evaluation_dataloader("test"), verbose=False)
    assert task.results["test"] == pytest.approx(whole, rel=1e-6)
    assert max(longest) <= rows


@pytest.mark.parametrize("largest", [None, 1e-3, 0.5, 100.0])
def test_clipping_is_that_of_pytorch(put_together: Prepare, largest: float | None) -> None:
    _, task, batches, _ = put_together()
    batch = batches.train_dataloader().dataset[0]
    logits = task.model.head.scores(task.model(batch.inputs)[0])
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    parameters = list(task.parameters())
    before = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, before, strict=True):
        parameter.grad = gradient.clone()
    twins = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    for twin, gradient in zip(twins, before, strict=True):
        twin.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(twins, largest if largest is not None else math.inf)
    task.configure_gradient_clipping(torch.optim.SGD(parameters, 0.1), largest, "norm")
    torch.testing.assert_close(task.gradient_norm, norm)
    clipped = [p.grad for p in parameters]
    for one, other in zip(clipped, twins, strict=True):
        torch.testing.assert_close(one, other.grad, rtol=0, atol=0)
    unmoved = all(
        one is not None and torch.equal(one, other)
        for one, other in zip(clipped, before, strict=True)
    )
    assert unmoved is (largest is None or largest > float(norm))


def test_the_norm_that_the_configuration_allows_is_kept(put_together: Prepare) -> None:
    norms = []

    class Watch(pl.Callback):
        def on_before_optimizer_step(
            self, trainer: pl.Trainer, task: pl.LightningModule, optimizer: Any
        ) -> None:
            gradients = [p.grad for p in task.parameters() if p.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    trainer, task, batches, _ = put_together(Watch(), trainer__gradient_clip=0.01)
    trainer.fit(task, batches)
    assert norms[-1] > 0.01 or norms[-1] == pytest.approx(0.01, rel=1e-3)
    assert task.gradient_norm is not None
    assert float(task.gradient_norm) > 0.01

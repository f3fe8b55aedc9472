"""A run that is cut off at any step and started again ends as one that never was."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.event_file_writer import AtomicCounter

from unrolled.errors import DeviceError, StorageError, TimeLimitError
from unrolled.runs.record import read_record
from unrolled.training import continuation, fit, precision
from unrolled.training.checkpoints import best_checkpoint, read_content
from unrolled.training.module import TaskModule
from unrolled.training.run import Outcome, run

Configure = Callable[..., DictConfig]

# Dropout draws at every step; early stopping, the plateau and the best checkpoint remember.
DRAWING = [
    *("model.dropout=0.3", "model.layers=2", "model.zoneout=0.1", "model.word_dropout=0.1"),
    "model.activation_regularization=0.1",
]

# 20 or so steps to an epoch.
SHORT = ["task.batch_size=16", "task.sequence_length=32", "trainer.max_steps=300"]


class Cut(BaseException):
    """What stands for a crash: nothing may catch it and clean up."""


def cut_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Crash the next run in the middle of a training step."""
    whole = TaskModule.training_step

    def training_step(self: TaskModule, *args: Any) -> Any:
        loss = whole(self, *args)
        if self.global_step == step:
            raise Cut
        return loss

    monkeypatch.setattr(TaskModule, "training_step", training_step)


def compare(one: Path, other: Path) -> None:
    """Weights, metrics, curves and texts are the same to the last bit."""
    first, second = read_record(one), read_record(other)
    assert first.metrics == second.metrics
    untimed = [[{**e, "seconds": 0} for e in r.history] for r in (first, second)]
    assert untimed[0] == untimed[1]
    assert first.best["step"] == second.best["step"]
    for name in ("metrics.csv", "samples.txt"):
        assert (one / name).read_text() == (other / name).read_text()
    a, b = best_checkpoint(one), best_checkpoint(other)
    assert all(torch.equal(a.weights[key], b.weights[key]) for key in a.weights)
    last = [read_content(folder / "checkpoints" / "last.ckpt") for folder in (one, other)]
    equal(last[0]["state_dict"], last[1]["state_dict"])
    equal(last[0]["optimizer_states"], last[1]["optimizer_states"])
    equal(last[0]["lr_schedulers"], last[1]["lr_schedulers"])
    equal(last[0]["unrolled"]["ranks"], last[1]["unrolled"]["ranks"])
    places = [content["loops"]["fit_loop"] for content in last]
    for loop in ("epoch_progress", "epoch_loop.batch_progress"):
        equal(places[0][loop], places[1][loop])
    assert last[0]["global_step"] == last[1]["global_step"]


def equal(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            equal(a, b)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("options", "cuts"),
    [
        (["trainer.checkpoint_every_steps=7"], [3, 18]),
        (["trainer.checkpoint_every_steps=1"], [0, 1, 9, 10, 11, 25]),
        (["trainer.checkpoint_every_steps=10"], [15, 25]),
        (["trainer.validate_every_steps=null", "trainer.max_epochs=2", *SHORT], [15, 23, 35]),
        (["trainer.checkpoint_every_steps=1", *SHORT, "trainer.max_steps=60"], [18, 19, 20, 21]),
        (["scheduler=plateau", "scheduler.patience=0", "trainer.checkpoint_every_steps=5"], [13]),
        # Cut between a validation and the end of an epoch, which know nothing of one another.
        (["scheduler=plateau", "scheduler.patience=0", *SHORT, "trainer.max_steps=60"], [18, 27]),
        (["optimizer=sgd", "optimizer.lr=5", "trainer.early_stopping_patience=1"], [13]),
        (["scheduler=cosine", "trainer.overfit_batches=1"], [13]),
        (["optimizer=adamw_ema", "optimizer.average_decay=0.9", "scheduler=cosine"], [13]),
        # A cell without a kernel of its own.
        (["cell=mgu"], [13]),
        # Before and after averaging begins, and in the second epoch of drawn lengths.
        (
            [
                *("optimizer=nt_asgd", "optimizer.lr=8", "optimizer.non_monotone_interval=1"),
                *("task.variable_length=true", "trainer.validate_every_steps=3", *SHORT),
                *("trainer.max_steps=30", "trainer.checkpoint_every_steps=4"),
            ],
            [6, 26],
        ),
    ],
)
def test_a_run_cut_off_and_continued_is_bitwise_the_same(
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    cuts: list[int],
) -> None:
    options = [*DRAWING, "trainer.max_steps=30", "trainer.checkpoint_every_steps=4", *options]
    whole = run(configure(*options, "paths.outputs=whole")).folder
    for step in cuts:
        with monkeypatch.context() as patch:
            cut_at(patch, step)
            with pytest.raises(Cut):
                run(configure(*options, "paths.outputs=cut"))
    outcome = run(configure(*options, "paths.outputs=cut"))
    assert outcome.status == "finished"
    assert whole is not None
    assert outcome.folder is not None
    compare(whole, outcome.folder)


# How many files of events this process has begun. The number is the end of a file's name, and
# TensorBoard takes those of the same second in the order of their names: 10 before 9.
EVENT_FILES = "tensorboard.summary.writer.event_file_writer._global_uid"

CHECKPOINTED = [*DRAWING, "trainer.max_steps=30", "trainer.checkpoint_every_steps=4"]


@pytest.fixture(scope="module")
def left_alone(
    tmp_path_factory: pytest.TempPathFactory, configure_in: Configure
) -> tuple[Path, Path]:
    """The folder of a run that was left alone, and of the same run, cut off in its 19th step; do
    not write to them."""
    folder = tmp_path_factory.mktemp("left_alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EVENT_FILES, AtomicCounter(10))
        whole = folder_of(run(configure_in(folder, *CHECKPOINTED)))
        cut_at(patch, 18)
        with pytest.raises(Cut):
            run(configure_in(folder, *CHECKPOINTED, f"paths.outputs={folder}/cut"))
    return whole, next(folder.glob("cut/*/lstm-*"))


@pytest.fixture
def whole(left_alone: tuple[Path, Path]) -> Path:
    """The folder of a run that was left alone; do not write to it."""
    return left_alone[0]


@pytest.fixture
def cut(left_alone: tuple[Path, Path]) -> Path:
    """The folder of the same run, cut off in its 19th step, for this test alone."""
    folder = Path("cut", *left_alone[1].parts[-2:])
    shutil.copytree(left_alone[1].parents[1], "cut")
    return folder


def go_on(configure: Configure, *options: str) -> Path:
    return folder_of(run(configure(*CHECKPOINTED, "paths.outputs=cut", *options)))


def test_a_run_cut_off_in_its_test_trains_no_more(
    configure: Configure, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "test_step", crash)
        with pytest.raises(Cut):
            go_on(configure)
    monkeypatch.setattr(TaskModule, "training_step", crash)
    compare(whole, go_on(configure))


@pytest.mark.parametrize("damage", [b"", b"cut off", None])
def test_a_damaged_last_checkpoint_is_said_and_the_one_before_taken(
    configure: Configure,
    whole: Path,
    cut: Path,
    damage: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    last = cut / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    # One bit of a weight: the file is whole as far as torch can tell.
    content[len(content) // 2] ^= 1
    last.write_bytes(bytes(content) if damage is None else damage)
    assert go_on(configure) == cut
    assert "last.ckpt: damaged" in caplog.text
    assert read_record(cut).timing["continued"][0]["step"] == 12
    compare(whole, cut)


def test_with_all_checkpoints_damaged_a_run_starts_over(
    configure: Configure, whole: Path, cut: Path
) -> None:
    for path in (cut / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    assert go_on(configure) == cut
    compare(whole, cut)


def test_without_its_best_weights_a_run_starts_over(
    configure: Configure, whole: Path, cut: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (cut / "checkpoints" / "best.ckpt").write_bytes(b"cut off")
    assert go_on(configure) == cut
    assert "the run starts over" in caplog.text
    compare(whole, cut)


def test_a_record_cut_off_by_hand_is_made_again(
    configure: Configure, whole: Path, cut: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = cut / "record.json"
    record.write_text(record.read_text()[:100])
    assert go_on(configure) == cut
    assert "its record was damaged" in caplog.text
    compare(whole, cut)
    # That of a finished run: only its test is made again.
    record.write_text(record.read_text()[:100])
    assert go_on(configure) == cut
    compare(whole, cut)


def test_another_runs_checkpoint_is_not_gone_on_from(
    configure: Configure, whole: Path, cut: Path
) -> None:
    other = folder_of(run(configure(*CHECKPOINTED, "paths.outputs=other", "seed=2")))
    for name in ("last.ckpt", "previous.ckpt"):
        shutil.copy(other / "checkpoints" / name, cut / "checkpoints" / name)
    assert go_on(configure) == cut
    compare(whole, cut)


def test_a_run_that_began_in_bf16_does_not_go_on_where_there_is_none(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, cut: Path
) -> None:
    def begun_in_bf16(path: Path) -> dict[str, Any]:
        content = read_content(path)
        return content | {"unrolled": content["unrolled"] | {"precision": "bf16"}}

    with monkeypatch.context() as patch:
        patch.setattr(fit, "read_content", begun_in_bf16)
        patch.setattr(precision, "has_bf16", lambda accelerator: False)
        with pytest.raises(DeviceError, match=r"is in bf16.* the cpu .*trainer\.precision=fp32"):
            go_on(configure)
    # Nothing is lost where it can go on.
    assert read_content(cut / "checkpoints" / "last.ckpt")["global_step"] == 16


def test_a_run_goes_on_in_a_folder_that_was_moved(
    configure: Configure, whole: Path, cut: Path
) -> None:
    cut.parent.parent.rename("moved")
    folder = go_on(configure, "paths.outputs=moved")
    assert folder.parent.parent == Path("moved")
    compare(whole, folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_a_run_loses_no_step(
    configure: Configure, whole: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    step = TaskModule.training_step

    def asked(self: TaskModule, *args: Any) -> Any:
        if self.global_step == 17:
            os.kill(os.getpid(), number)
        return step(self, *args)

    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", asked)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 18"):
            go_on(configure)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    folder = next(Path("cut").glob("*/lstm-*"))
    assert read_record(folder).state == "interrupted"
    go_on(configure)
    assert [c["step"] for c in read_record(folder).timing["continued"]] == [18]
    compare(whole, folder)


def test_asked_to_end_in_a_validation_a_run_goes_back_one_step(
    configure: Configure, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TaskModule.validation_step

    def asked(self: TaskModule, *args: Any) -> Any:
        if self.global_step == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    minutes = ["trainer.checkpoint_every_steps=null", "trainer.checkpoint_every_minutes=10"]
    with monkeypatch.context() as patch:
        # As if the steps before had taken so long.
        patch.setattr(continuation, "WORTH", 0.0)
        patch.setattr(continuation, "SHARE", 1e9)
        patch.setattr(TaskModule, "validation_step", asked)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 20"):
            go_on(configure, *minutes)
    folder = go_on(configure)
    assert [c["step"] for c in read_record(folder).timing["continued"]] == [19]
    compare(whole, folder)


def test_a_run_past_its_time_has_failed_and_goes_on_when_asked(
    configure: Configure, whole: Path
) -> None:
    options = [*CHECKPOINTED, "paths.outputs=cut"]
    with pytest.raises(TimeLimitError, match="time_limit_minutes=1e-06"):
        run(configure(*options, "time_limit_minutes=1e-6"))
    left = run(configure(*options), retry=False)
    assert left.status == "failed"
    assert "TimeLimitError" in left.message
    compare(whole, go_on(configure))


def test_a_disk_full_at_a_checkpoint_loses_nothing_but_time(
    configure: Configure, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            go_on(configure)
    folder = next(Path("cut").glob("*/lstm-*"))
    assert read_record(folder).state == "interrupted"
    assert not list((folder / "checkpoints").glob(".*"))
    go_on(configure)
    assert read_record(folder).timing["continued"]
    compare(whole, folder)


def test_tensorboard_shows_one_run_without_what_was_done_twice(
    configure: Configure, whole: Path, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EVENT_FILES, AtomicCounter(20))
    # As a kill in the middle of a write leaves it: half an event at the end.
    events = next(cut.glob("events.out.*"))
    events.write_bytes(events.read_bytes() + events.read_bytes()[:20])
    go_on(configure)
    curves = [scalars(folder) for folder in (whole, cut)]
    assert "validation/perplexity" in curves[0]
    assert curves[0] == curves[1]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve as TensorBoard reads it."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_threads_are_those_that_the_run_began_with(
    configure: Configure, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(2)
    try:
        go_on(configure)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


@pytest.mark.slow
def test_several_ranks_go_on_exactly(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*CHECKPOINTED, "trainer.strategy=ddp", "trainer.devices=2", "trainer.max_steps=12"]
    whole = folder_of(run(configure(*options, "paths.outputs=whole")))
    with monkeypatch.context() as patch:
        cut_at(patch, 6)
        with pytest.raises(Cut):
            run(configure(*options, "paths.outputs=cut"))
    cut = folder_of(run(configure(*options, "paths.outputs=cut")))
    assert [c["step"] for c in read_record(cut).timing["continued"]] == [4]
    compare(whole, cut)


def folder_of(outcome: Outcome) -> Path:
    assert outcome.folder is not None
    return outcome.folder

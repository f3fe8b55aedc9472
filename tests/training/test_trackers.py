"""What W&B, MLflow and Comet have of a run, read back, and runs whose tracker fails."""

import json
import logging
import random
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

from unrolled.config.compose import compose_run
from unrolled.runs.record import find_runs, read_record
from unrolled.training.run import run
from unrolled.training.trackers import packages
from unrolled.training.trackers.tracker import Tracked, Tracker

Configure = Callable[..., DictConfig]
LOGGERS = "logger=[csv,mlflow,wandb,comet]"


class Cut(BaseException):
    """What stands for a crash: nothing may catch it and clean up."""


def test_several_loggers_go_together() -> None:
    chosen = compose_run(["logger=[tensorboard,wandb]", "logger.project=mine"]).logger
    assert (chosen.tensorboard, chosen.wandb) == (True, True)
    assert (chosen.csv, chosen.mlflow, chosen.comet) == (False, False, False)
    both = compose_run().logger
    assert (both.tensorboard, both.csv, both.wandb) == (True, True, False)


@pytest.fixture(scope="module")
def tracked(
    tmp_path_factory: pytest.TempPathFactory, configure_in: Configure
) -> Iterator[tuple[Path, Path]]:
    """A run that was cut off and went on, and the same run without trackers."""
    from unrolled.training.module import TaskModule

    folder = tmp_path_factory.mktemp("tracked")
    whole = run(configure_in(folder, "logger=csv", "study=whole")).folder
    config = configure_in(
        folder,
        LOGGERS,
        *("study=mine", "trainer.checkpoint_every_steps=7"),
        # Pictures, at the last validation.
        *("diagnostics.every_validations=2", "diagnostics.tokens=100"),
    )
    with pytest.MonkeyPatch.context() as patched:
        step = TaskModule.training_step

        def cut(self: TaskModule, *args: Any) -> Any:
            if self.global_step == 16:
                raise Cut
            return step(self, *args)

        patched.setattr(TaskModule, "training_step", cut)
        with pytest.raises(Cut):
            run(config)
    again = run(config).folder
    assert whole is not None
    assert again is not None
    yield again, whole


# Where training is logged, of a run of 20 steps.
TRAINING = [5, 10, 15, 20]


@pytest.mark.slow
def test_trackers_change_no_figure_and_none_failed(tracked: tuple[Path, Path]) -> None:
    one, other = map(read_record, tracked)
    assert one.metrics == other.metrics
    assert one.identity == other.identity
    assert "tracker_failures" not in one.environment


@pytest.mark.slow
def test_mlflow_has_one_run_with_unbroken_curves(tracked: tuple[Path, Path]) -> None:
    from mlflow.tracking import MlflowClient

    folder, record = tracked[0], read_record(tracked[0])
    client = MlflowClient(f"sqlite:///{folder.parents[1] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == (folder.name, "FINISHED")
    assert found.data.params["cell.name"] == "lstm"
    assert found.data.params["optimizer.lr"] == str(record.config["optimizer"]["lr"])
    validation = client.get_metric_history(found.info.run_id, "validation/perplexity")
    assert [(point.step, point.value) for point in validation] == [
        (entry["step"], entry["validation/perplexity"]) for entry in record.history
    ]
    training = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in training] == TRAINING
    for name, value in record.metrics.items():
        assert found.data.metrics[f"best/{name}"] == value
    samples = [one.path for one in client.list_artifacts(found.info.run_id, "samples")]
    assert samples == ["samples/step_000000010.txt", "samples/step_000000020.txt"]
    pictures = client.list_artifacts(found.info.run_id, "diagnostics/gates")
    assert [one.path for one in pictures] == ["diagnostics/gates/step_000000020.png"]
    assert any(name.startswith("diagnostics/") for name in found.data.metrics)


def wandb_records(path: Path) -> Iterator[Any]:
    """The messages of an offline run's file: a log in blocks of 32 KiB, as LevelDB writes it."""
    from wandb.proto import wandb_internal_pb2

    # Made when the module is imported, where no type checker sees it.
    messages: Any = wandb_internal_pb2
    content, place, message = path.read_bytes(), 7, b""
    assert content.startswith(b":W&B")
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        # Whole, or the last part.
        if kind in (1, 4):
            yield messages.Record.FromString(message)
            message = b""


@pytest.mark.slow
def test_wandb_s_offline_files_are_parts_of_one_run(tracked: tuple[Path, Path]) -> None:
    folder, record = tracked[0], read_record(tracked[0])
    paths = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(paths) == 2
    messages = [message for path in paths for message in wandb_records(path)]
    runs = [m.run for m in messages if m.WhichOneof("record_type") == "run"]
    assert {(one.run_id, one.project, one.display_name) for one in runs} == {
        (runs[0].run_id, "mine", folder.name)
    }
    rows = [
        {"/".join(item.nested_key) or item.key: item.value_json for item in m.history.item}
        for m in messages
        if m.WhichOneof("record_type") == "history"
    ]
    points = [
        (int(row["trainer/global_step"]), float(row["validation/perplexity"]))
        for row in rows
        if "validation/perplexity" in row
    ]
    assert points == [(e["step"], e["validation/perplexity"]) for e in record.history]
    steps = [int(row["trainer/global_step"]) for row in rows if "train/loss" in row]
    assert steps == TRAINING
    assert sum("samples/path" in row or "samples/_type" in row for row in rows) == 2
    assert sum("diagnostics/gates/_type" in row for row in rows) == 1
    summary = {
        item.key or "/".join(item.nested_key): item.value_json
        for m in messages
        if m.WhichOneof("record_type") == "summary"
        for item in m.summary.update
    }
    assert float(summary["best/test/perplexity"]) == record.metrics["test/perplexity"]
    exits = [m.exit.exit_code for m in messages if m.WhichOneof("record_type") == "exit"]
    assert exits == [1, 0]


@pytest.mark.slow
def test_comet_s_archives_have_the_curves(tracked: tuple[Path, Path]) -> None:
    folder, record = tracked[0], read_record(tracked[0])
    points: dict[str, list[tuple[int, float]]] = {}
    others, keys, figures = {}, set(), set()
    for path in sorted((folder / "comet").glob("*.zip"), key=lambda one: one.stat().st_mtime):
        archive = zipfile.ZipFile(path)
        keys.add(json.loads(archive.read("experiment.json"))["offline_id"])
        for line in archive.read("messages.json").decode().splitlines():
            message = json.loads(line)
            if message["type"] == "metric_msg":
                metric = message["payload"]["metric"]
                points.setdefault(metric["metricName"], []).append(
                    (metric["step"], metric["metricValue"])
                )
            elif message["type"] == "file_upload":
                figures.add(message["payload"]["additional_params"].get("figName"))
            elif message["type"] == "log_other":
                others[message["payload"]["key"]] = message["payload"]["value"]
    assert len(keys) == 1
    assert "diagnostics/gates" in figures
    assert points["validation/perplexity"] == [
        (entry["step"], entry["validation/perplexity"]) for entry in record.history
    ]
    assert [step for step, _ in points["train/loss"]] == TRAINING
    assert others["best/test/perplexity"] == record.metrics["test/perplexity"]


def test_a_store_that_cannot_be_written_ends_no_run(configure: Configure) -> None:
    uri = "logger.tracking_uri=sqlite:////proc/nowhere/mlflow.db"
    folder = run(configure("logger=mlflow", uri, "trainer.max_steps=2")).folder
    assert folder is not None
    assert read_record(folder).status == "finished"
    assert "mlflow" in read_record(folder).environment["tracker_failures"]


@pytest.mark.slow
def test_a_server_that_is_not_there_costs_a_warning_and_no_run(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure("logger=mlflow", "logger.tracking_uri=http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, logger="unrolled"):
        folder = run(config).folder
    assert folder is not None
    record = read_record(folder)
    assert record.status == "finished"
    said = [one.getMessage() for one in caplog.records if one.name.startswith("unrolled")]
    assert len(said) == 1
    assert said[0].startswith("logger=mlflow: ")
    assert said[0].endswith("the run goes on without it, and its record has all figures")
    assert record.environment["tracker_failures"]["mlflow"] in said[0]


def test_a_tracker_without_its_package_is_refused_before_anything_is_made(
    overrides: Callable[..., list[str]],
    command: Callable[..., CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    for arguments in ([], ["-m", "seed=1,2"]):
        said = command("train", *arguments, *overrides("logger=[csv,comet]"), code=2).stderr
        assert "logger=comet: the package comet_ml is not installed: pip install" in said
        assert "'unrolled[comet]'" in said
    assert not Path("outputs").exists() or not find_runs(Path("outputs"))


class Fails(Tracker):
    """Sends the first two things, and fails at the third."""

    kind = "fails"

    def __init__(self) -> None:
        super().__init__(Tracked("key", "run", "study", Path(), False, DictConfig({}), Path()))
        self.sent: list[str] = []

    def _send(self, what: str) -> None:
        if len(self.sent) == 2:
            raise OSError("the line is dead\nand a page of reasons")
        self.sent.append(what)

    def _logger(self) -> Any:
        raise AssertionError("no curve was logged")

    def _send_figure(self, name: str, picture: object, step: int) -> None:
        self._send(name)

    def _send_text(self, name: str, text: str, step: int) -> None:
        self._send(text)

    def _send_final(self, metrics: Mapping[str, float]) -> None:
        self._send("final")

    def _close(self, status: str) -> None:
        self._send(status)


def test_a_tracker_waits_for_the_checkpoint_and_ends_at_its_first_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = Fails()
    tracker.add_text("samples", "one", 1)
    assert not tracker.sent
    tracker.save()
    tracker.add_text("samples", "two", 2)
    # A run that fails logs again what comes after its checkpoint.
    tracker.finalize("failed")
    assert tracker.sent == ["one"]
    tracker.save()
    tracker.add_text("samples", "three", 3)
    tracker.save()
    tracker.log_final({"best": 1.0})
    tracker.end("finished")
    assert tracker.sent == ["one", "two"]
    assert tracker.failure == "OSError: the line is dead"
    assert [one.getMessage() for one in caplog.records] == [
        "logger=fails: OSError: the line is dead; the run goes on without it, and its record has "
        "all figures"
    ]


def test_what_a_tracker_draws_is_not_drawn_from_the_run_s_generators() -> None:
    class Draws(Fails):
        def _send(self, what: str) -> None:
            random.random()
            np.random.random()

    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    tracker = Draws()
    tracker.add_text("samples", "one", 1)
    tracker.save()
    after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert before == after

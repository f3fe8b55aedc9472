"""Diagnostics during training: in TensorBoard, and without a trace in the run."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unrolled.cli import main
from unrolled.diagnostics.diagnosis import diagnose
from unrolled.runs.record import read_record
from unrolled.training import diagnosing
from unrolled.training.checkpoints import best_checkpoint
from unrolled.training.run import run


def trained(config: DictConfig) -> Path:
    folder = run(config).folder
    assert folder is not None
    return folder


def drawing(*arguments: Any, **options: Any) -> Any:
    """As ``diagnose``, where code of somebody's own draws from every generator."""
    torch.rand(3), random.random(), np.random.rand()
    return diagnose(*arguments, **options)


def test_nothing_of_the_run_changes(
    configure: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "diagnose", drawing)
    # Dropout draws from the generator at each step.
    same = ("model.dropout=0.3", "trainer.threads=1", "cell=gru")
    plain = trained(configure(*same, "paths.outputs=plain"))
    watched = trained(
        configure(*same, "paths.outputs=watched", "diagnostics.every_validations=1",
                  "diagnostics.tokens=300")
    )  # fmt: skip
    one, other = (read_record(folder) for folder in (plain, watched))
    assert one.identity == other.identity
    assert one.metrics == other.metrics
    assert [e["train/loss"] for e in one.history] == [e["train/loss"] for e in other.history]
    a, b = (best_checkpoint(folder).weights for folder in (plain, watched))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (plain / "metrics.csv").read_text() == (watched / "metrics.csv").read_text()


def test_numbers_and_figures_are_in_tensorboard(configure: Callable[..., DictConfig]) -> None:
    options = ("diagnostics.every_validations=2", "diagnostics.tokens=300")
    folder = trained(configure(*options, "trainer.max_steps=40"))
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    # Validations at 10, 20, 30 and 40.
    slopes = events.Scalars("diagnostics/gradients/slope_after_training")
    assert [event.step for event in slopes] == [20, 40]
    assert events.Scalars("diagnostics/gates/layer_1/f/mean_opening")
    assert "diagnostics/gradient_flow_after_training" in events.Tags()["images"]
    assert not any("memory/" in tag for tag in events.Tags()["scalars"])


def test_an_interval_that_makes_no_sense(
    overrides: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *overrides("diagnostics.every_validations=0")]) == 2
    assert "diagnostics.every_validations=0: must be at least 1" in capsys.readouterr().err

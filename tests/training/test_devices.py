"""Devices that are not here are refused, and processes that must share cores are said."""

import logging
import os

import pytest

from unrolled.config.compose import compose_run
from unrolled.training.devices import require_devices


def test_more_processes_than_cores_are_said(caplog: pytest.LogCaptureFixture) -> None:
    cores = len(os.sched_getaffinity(0))
    for devices, warnings in ((cores, 0), (cores + 1, 1)):
        caplog.clear()
        sizes = [f"trainer.devices={devices}", f"task.batch_size={devices}"]
        with caplog.at_level(logging.WARNING):
            require_devices(compose_run(["trainer=ddp", *sizes]).trainer)
        assert len(caplog.records) == warnings
    assert f"share {cores} cores" in caplog.text

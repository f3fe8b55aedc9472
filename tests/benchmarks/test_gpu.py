import json
from pathlib import Path
from typing import Any

import pytest
import torch


def test_without_a_device_it_says_so_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.gpu import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--output", str(tmp_path / "gpu.json")]) == 0
    assert capsys.readouterr().out == (
        "PyTorch sees no CUDA device on this machine, so nothing was run.\n"
    )
    assert not (tmp_path / "gpu.json").exists()


def test_a_part_that_fails_is_recorded_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from benchmarks import gpu

    def fails(folder: Path, quick: bool) -> dict[str, Any]:
        gpu._python(["-c", "exit('out of memory')"])
        return {}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    parts = {"tests": fails, "cells": lambda folder, quick: {"cells": [1]}}
    monkeypatch.setattr(gpu, "PARTS", parts)
    path = tmp_path / "gpu.json"
    assert gpu.main(["--output", str(path)]) == 1
    found = json.loads(path.read_text(encoding="utf-8"))
    assert "out of memory" in found["tests"]["error"]
    assert found["cells"]["cells"] == [1]
    assert found["environment"]["gpu"] == "a device"


def test_a_failed_test_is_a_failure() -> None:
    from benchmarks.gpu import failed

    assert failed({"tests": 3, "failures": 1, "errors": 0})
    assert not failed({"tests": 3, "failures": 0, "errors": 0, "skipped": 3})

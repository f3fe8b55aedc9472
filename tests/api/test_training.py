"""One run from Python: what the command makes, and a host that notices nothing of it."""

import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import initialize
from hydra.core.global_hydra import GlobalHydra

import unrolled
from unrolled.cli import main
from unrolled.errors import ConfigError, DataError
from unrolled.training.load import load_run
from unrolled.training.module import TaskModule

Overrides = Callable[..., list[str]]
CELL = """
import torch
from torch import nn
from unrolled.cells.base import Cell
from my_helper import FACTOR

class Mine(Cell):
    version = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, x):
        return self.W(x)

    def step(self, z, state):
        return (FACTOR * torch.tanh(z + self.U(state[0])),)
"""


def test_it_is_the_run_that_the_command_makes(
    overrides: Overrides, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unrolled.train(overrides(), cell="gru", seed=3)
    assert (run.status, run.outcome) == ("finished", "finished")
    assert str(run.folder) in capsys.readouterr().out
    assert main(["train", *overrides("cell=gru", "seed=3")]) == 0
    assert f"{run.name}  skipped, it is finished already" in capsys.readouterr().out
    again = unrolled.train(run.config)
    assert (again, again.outcome) == (run, "skipped")
    assert "skipped, it is finished already" in capsys.readouterr().out
    assert again.metrics == run.record.metrics
    other = unrolled.train(run.config, seed=4, progress=False)
    assert other.record.config == {**run.record.config, "seed": 4}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"cell": "gruu"}, ConfigError, "cell=gruu: no such choice; did you mean gru"),
        ({"model": {"hiden_size": 4}}, ConfigError, "did you mean model.hidden_size"),
        ({"dataset.path": "no.txt"}, DataError, r"no\.txt"),
        ({"cell": {"_target_": "my_cells.No"}}, ConfigError, "there is no module my_cells"),
    ],
)
def test_the_errors_are_those_of_the_command(
    overrides: Overrides,
    given: dict[str, Any],
    error: type[Exception],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(error, match=said) as found:
        unrolled.train(overrides(), given)
    if not isinstance(next(iter(given.values())), dict):
        lines = [f"{key}={value}" for key, value in given.items()]
        capsys.readouterr()
        assert main(["train", *overrides(*lines)]) == 2
        assert capsys.readouterr().err == f"unrolled: {found.value}\n"


def host() -> dict[str, Any]:
    """What a program has that runs must not change."""
    # What libraries set when they are first imported is theirs.
    theirs = {"PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR"}
    return {
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "path": [*sys.path],
        "environment": {k: v for k, v in os.environ.items() if k not in theirs},
        "levels": [logging.getLogger(n).level for n in ("pytorch_lightning", "lightning_fabric")],
        "handlers": [*logging.getLogger().handlers],
        "filters": [*warnings.filters],
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "hydra": GlobalHydra.instance().hydra,
    }


def test_the_host_is_afterwards_as_it_was(overrides: Overrides) -> None:
    unrolled.train(overrides(), progress=False)
    before_handler = signal.signal(signal.SIGTERM, lambda *_: None)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with initialize(version_base="1.2", config_path=None):
            logging.getLogger("pytorch_lightning").setLevel(logging.INFO)
            before = host()
            run = unrolled.train(overrides("trainer.threads=2", "seed=2"), progress=False)
            assert run.outcome == "finished"
            assert host() == before
            with pytest.raises(ConfigError):
                unrolled.train("cell=no")
            assert host() == before
    finally:
        signal.signal(signal.SIGTERM, before_handler)
        torch.use_deterministic_algorithms(False)


def test_an_interrupt_is_raised_and_the_same_call_goes_on(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = unrolled.train(overrides(), seed=5, study="whole", progress=False)
    step = TaskModule.training_step

    def interrupted(self: TaskModule, *args: Any) -> Any:
        if self.global_step == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TaskModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 13"):
        unrolled.train(overrides(), seed=5)
    assert signal.getsignal(signal.SIGINT) is handler
    (folder,) = Path("outputs/default").glob("lstm-seed5-*")
    assert unrolled.Run(folder).status == "interrupted"
    monkeypatch.setattr(TaskModule, "training_step", step)
    run = unrolled.train(overrides(), seed=5)
    assert "continued from step 13" in capsys.readouterr().out
    assert run.metrics == whole.metrics


def test_a_file_that_changed_since_is_read_anew(overrides: Overrides, text_file: Path) -> None:
    first = unrolled.train(overrides(), progress=False)
    text_file.write_text(text_file.read_text() * 2)
    second = unrolled.train(overrides(), progress=False)
    assert second.outcome == "finished"
    assert second.record.data["fingerprint"] != first.record.data["fingerprint"]


def test_code_of_ones_own_runs_as_it_stands_in_its_file(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("my_helper.py").write_text("FACTOR = 0.5\n")
    Path("my_cells.py").write_text(CELL)
    import my_cells  # type: ignore[import-not-found]

    runs = [unrolled.train(overrides(), cell=my_cells.Mine, progress=False)]
    Path("my_helper.py").write_text("FACTOR = 0.25  # and longer\n")
    # As a person edits a file of an open notebook.
    Path("my_cells.py").write_text(CELL.replace("version = 1", "version = 2"))
    runs.append(unrolled.train(overrides(), cell=my_cells.Mine, progress=False))
    assert runs[0].name != runs[1].name
    assert runs[0].metrics != runs[1].metrics
    assert sys.modules["my_cells"] is my_cells
    assert my_cells.FACTOR == 0.5
    loaded = unrolled.load(runs[1], trust="my_cells")
    (cell,) = [part for part in loaded.model.modules() if type(part).__name__ == "Mine"]
    assert cell.version == 2
    with pytest.raises(ConfigError, match='say so: --trust my_cells, in Python trust="my_cells"'):
        unrolled.load(runs[0])


def test_a_loaded_run_is_what_evaluate_loads(trained: Path) -> None:
    loaded = unrolled.load(trained)
    expected = load_run(trained).best_model()
    weights = loaded.model.state_dict()
    assert weights.keys() == expected.state_dict().keys()
    assert all(torch.equal(weights[k], v) for k, v in expected.state_dict().items())
    assert not loaded.model.training
    assert loaded.tokenizer is loaded.fitted
    assert loaded.tokenizer is not None
    text = "the cat"
    ids = torch.from_numpy(loaded.tokenizer.encode_prompt(text)).long()
    assert loaded.tokenizer.decode(ids.tolist()) == text
    scores = loaded.model.head.scores(loaded.model(ids[:, None])[0])
    assert scores.shape[:2] == (len(ids), 1)
    assert loaded.config.cell.name == "lstm"
    assert loaded.record.metrics == loaded.run.metrics
    assert len(loaded.curves()) == len(loaded.record.history)
    assert f"{loaded.model.parameter_count():,} parameters" in repr(loaded)

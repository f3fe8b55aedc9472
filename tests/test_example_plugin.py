"""The example plug-in of ``examples/``: installed by pip, composed, swept and compared by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unrolled.cli import main
from unrolled.runs.record import find_runs, read_record

EXAMPLE = Path(__file__).parents[1] / "examples" / "unrolled_example_plugin"
SMALL = [
    "model.hidden_size=8", "trainer.max_steps=10",
    "trainer.validate_every_steps=5", "trainer.log_every_steps=5",
]  # fmt: skip


@pytest.mark.slow
def test_an_installed_plug_in_is_composed_swept_and_compared_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", target, str(EXAMPLE)], check=True)
    monkeypatch.syspath_prepend(target)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([target, *sys.path]))

    sizes = ["task.length=6", "task.examples=60"]
    sweep = ["-m", "task=temporal_order", *sizes, "cell=fast_rnn,lstm", "seed=1,2", *SMALL]
    assert main(["train", *sweep, "study=order"]) == 0
    folders = find_runs(Path("outputs/order"))
    assert {folder.name.partition("-")[0] for folder in folders} == {"fast_rnn", "lstm"}
    record = read_record(folders[0])
    assert record.config["cell"]["_target_"] == "unrolled_example_plugin.cells.FastRNN"
    assert record.environment["packages"]["unrolled-example-plugin"] == "0.1.0"
    assert main(["compare", "outputs/order"]) == 0
    comparison = json.loads(Path("outputs/order/comparison/comparison.json").read_text())
    assert comparison["metric"] == "validation/accuracy"
    assert len(comparison["groups"]) == 2

    waves = ["task=classification", "dataset=waveforms", "dataset.examples=60", "tokenizer=none"]
    assert main(["train", *waves, "cell=fast_rnn", "study=waves", *SMALL]) == 0
    (labelled,) = find_runs(Path("outputs/waves"))
    assert read_record(labelled).data["name"].startswith("waveforms")

    capsys.readouterr()
    assert main(["evaluate", str(folders[0])]) == 2
    assert "--trust unrolled_example_plugin" in capsys.readouterr().err
    assert main(["evaluate", str(folders[0]), "--trust", "unrolled_example_plugin"]) == 0
    assert "exactly the recorded figures" in capsys.readouterr().out

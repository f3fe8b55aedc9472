"""Where progress is shown."""

import io
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from unrolled.api import progress
from unrolled.api.progress import NotebookConsole, progress_console
from unrolled.runs.progress import Progress
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.display import Display
from unrolled.training.run import Outcome


class Cell:
    """Stands for a notebook's front end: the outputs of one cell, and how often each was sent."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.sent = 0

    def display(self, page: Any, display_id: bool) -> "Cell":
        assert display_id
        self.outputs.append(page.data)
        self.sent += 1
        return self

    def update(self, page: Any) -> None:
        self.outputs[-1] = page.data
        self.sent += 1


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    cell = Cell()
    # As a kernel has it.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("IPython.display.display", cell.display)
    return cell


def test_silence_is_silent_and_a_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    progress_console(False).print("nothing")
    assert capsys.readouterr().out == ""
    progress_console(True).print("something")
    assert capsys.readouterr().out == "something\n"


def test_a_notebook_has_a_console_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "Console", lambda: Console(force_jupyter=True))
    assert isinstance(progress_console(True), NotebookConsole)


def test_a_cell_has_one_output_however_many_runs_there_are(cell: Cell, tmp_path: Path) -> None:
    console = NotebookConsole()
    count = progress.MOST_LINES + 10
    with Display(console, total=count) as display:
        for number in range(count):
            folder = tmp_path / f"<run{number}>"
            spec = RunSpec(OmegaConf.create({}), "i", folder.parent, folder.name)
            display.begin(spec)
            folder.mkdir()
            Progress("training", step=number, total_steps=99).write(folder)
            console.next = 0.0
            display.update()
            assert f"&lt;run{number}&gt;" in cell.outputs[0]
            assert f"step {number:,}/99" in cell.outputs[0]
            display.end(spec, Outcome("failed", folder, "for a reason"))
    console.print("all done")
    (output,) = cell.outputs
    assert output.count("for a reason") == progress.MOST_LINES - 1
    assert "… and 11 lines before these" in output
    assert f"[{count}/{count}] &lt;run{count - 1}&gt;" in output
    assert "step " not in output
    assert output.endswith("all done\n</pre>")


def test_what_is_under_way_is_sent_once_a_second_at_most(cell: Cell) -> None:
    console = NotebookConsole()
    for number in range(50):
        console.show(f"step {number}")
    assert cell.sent == 1
    console.show(None)
    assert cell.sent == 2
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""

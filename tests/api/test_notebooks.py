"""The notebooks of examples/, as a person runs them, on fewer steps."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

import unrolled
from unrolled.runs.record import find_runs

EXAMPLES = Path(__file__).parents[2] / "examples"
LENGTH = re.compile(r'"max_steps": \d+, "validate_every_steps": \d+')
SHORT = '"max_steps": 4, "validate_every_steps": 2, "limit_batches": 2'
# How long a cell may take on a machine that does other things besides.
TIMEOUT = 300
INTERRUPTED = """
import os
import unrolled
open("kernel", "w").write(str(os.getpgid(0)))
unrolled.train(
    "dataset=sentence", "task.batch_size=1", "trainer.max_steps=1000000",
    "trainer.validate_every_steps=20", "optimizer.lr=0.0001", "trainer.log_every_steps=1",
)
"""


def read(name: str) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(EXAMPLES / name, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def client(notebook: NotebookNode) -> NotebookClient:
    return NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": "."}}
    )


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def executed(name: str) -> NotebookNode:
    """A notebook after its cells have run in order, on fewer steps."""
    notebook = read(name)
    for cell in notebook.cells:
        cell.source = LENGTH.sub(SHORT, cell.source)
    assert any(SHORT in cell.source for cell in notebook.cells)
    client(notebook).execute()
    # Nothing warns, and nothing that a library says gets into the cells.
    streams = [one for one in outputs(notebook) if one.output_type == "stream"]
    assert not [one.text for one in streams if one.name == "stderr"]
    return notebook


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_stored_notebook_has_no_outputs(path: Path) -> None:
    notebook = read(path.name)
    nbformat.validate(notebook)
    assert not list(outputs(notebook))
    assert all(cell.get("execution_count") is None for cell in notebook.cells)


@pytest.mark.slow
def test_three_cells_lead_from_an_empty_notebook_to_a_comparison() -> None:
    notebook = executed("first_comparison.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == 3
    progress, shown = code[1].outputs
    # One output, whatever happened meanwhile.
    page = progress.data["text/html"]
    assert page.count("validation/perplexity") == 6
    assert page.endswith("6 finished\n</pre>")
    assert "6 finished" in shown.data["text/html"]
    (comparison,) = code[2].outputs
    assert "has the lowest validation perplexity" in comparison.data["text/plain"]
    assert comparison.data["text/html"].count("data:image/png") >= 2
    assert "<td" in comparison.data["text/html"]


@pytest.mark.slow
def test_a_cell_of_ones_own_in_a_notebook() -> None:
    notebook = executed("own_cell.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "Leaky" in code[1].outputs[-1].data["text/html"]
    assert "LoadedRun" in code[2].outputs[-1].data["text/plain"]


@pytest.mark.slow
def test_runs_are_inspected_in_a_notebook() -> None:
    notebook = executed("inspect_runs.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "optimizer.lr" in code[1].outputs[0].data["text/plain"]
    assert "image/png" in code[2].outputs[0].data
    assert "torch.Size([17, 1," in code[3].outputs[0].data["text/plain"]
    assert len(unrolled.runs("outputs/inspected")) == 2


@pytest.mark.slow
def test_the_interrupt_of_a_notebook_ends_a_run_that_can_go_on() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(INTERRUPTED)])  # type: ignore[no-untyped-call]
    ended = threading.Event()

    def interrupt() -> None:
        """As the square in the notebook does, once the run has trained a while."""
        while not ended.wait(0.2):
            if list(Path("outputs").rglob("best.ckpt")):
                os.killpg(int(Path("kernel").read_text()), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
            client(notebook).execute()
    finally:
        ended.set()
        thread.join()
    (folder,) = find_runs(Path("outputs"))
    run = unrolled.Run(folder)
    assert run.status == "interrupted"
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert run.record.error is not None
    assert run.record.error["message"].startswith("stopped at step ")

"""The notebooks of examples/, as a person runs them, on fewer steps."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run, one beside the other as in examples/."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def manager(folder: Path, corpus_cache: Path) -> Iterator[KernelManager]:
    """Of one kernel for all notebooks, which imports torch and Lightning once."""
    manager = KernelManager(kernel_name="python3")
    cache = {"UNROLLED_CACHE": str(corpus_cache)}
    manager.start_kernel(cwd=str(folder), env={**os.environ, **cache})
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(manager: KernelManager) -> KernelManager:
    """A kernel without variables, as it is before a notebook's first cell."""
    run(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%reset -f")]), manager)  # type: ignore[no-untyped-call]
    return manager


def run(notebook: NotebookNode, kernel: KernelManager) -> None:
    """Run a notebook's cells in order."""
    client = NotebookClient(notebook, km=kernel, timeout=TIMEOUT)
    try:
        client.execute()
    finally:
        # The kernel goes on; this is the connection to it.
        if client.kc is not None:
            client.kc.stop_channels()


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def executed(name: str, kernel: KernelManager) -> NotebookNode:
    """A notebook after its cells have run in order, on fewer steps."""
    notebook = read(name)
    for cell in notebook.cells:
        cell.source = LENGTH.sub(SHORT, cell.source)
    assert any(SHORT in cell.source for cell in notebook.cells)
    run(notebook, kernel)
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
def test_three_cells_lead_from_an_empty_notebook_to_a_comparison(
    kernel: KernelManager,
) -> None:
    notebook = executed("first_comparison.ipynb", kernel)
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
def test_a_cell_of_ones_own_in_a_notebook(kernel: KernelManager) -> None:
    notebook = executed("own_cell.ipynb", kernel)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "Leaky" in code[1].outputs[-1].data["text/html"]
    assert "LoadedRun" in code[2].outputs[-1].data["text/plain"]


@pytest.mark.slow
def test_runs_are_inspected_in_a_notebook(kernel: KernelManager, folder: Path) -> None:
    notebook = executed("inspect_runs.ipynb", kernel)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "optimizer.lr" in code[1].outputs[0].data["text/plain"]
    assert "image/png" in code[2].outputs[0].data
    assert "torch.Size([17, 1," in code[3].outputs[0].data["text/plain"]
    assert len(unrolled.runs(folder / "outputs/inspected")) == 2


@pytest.mark.slow
def test_the_interrupt_of_a_notebook_ends_a_run_that_can_go_on(
    kernel: KernelManager, folder: Path
) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(INTERRUPTED)])  # type: ignore[no-untyped-call]
    ended = threading.Event()

    def interrupt() -> None:
        """As the square in the notebook does, once the run has trained a while."""
        while not ended.wait(0.2):
            if list((folder / "outputs/default").rglob("best.ckpt")):
                os.killpg(int((folder / "kernel").read_text()), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
            run(notebook, kernel)
    finally:
        ended.set()
        thread.join()
    (stopped,) = find_runs(folder / "outputs/default")
    stopped_run = unrolled.Run(stopped)
    assert stopped_run.status == "interrupted"
    assert (stopped / "checkpoints" / "last.ckpt").is_file()
    assert stopped_run.record.error is not None
    assert stopped_run.record.error["message"].startswith("stopped at step ")

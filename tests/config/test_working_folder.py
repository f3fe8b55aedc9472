"""Files of the working folder stand in for no library, in this process and in those it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unrolled.config.working_folder import search_working_folder


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONSAFEPATH", "")


def test_the_working_folder_is_searched_last_wherever_it_was() -> None:
    here = str(Path.cwd())
    sys.path[:0] = ["", here]
    search_working_folder()
    assert sys.path[-1] == here
    assert sys.path.count(here) == 1
    assert "" not in sys.path


def test_an_earlier_working_folder_is_searched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    before = str(Path.cwd())
    search_working_folder()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    search_working_folder()
    assert sys.path[-1] == str(Path.cwd())
    assert before not in sys.path


def test_processes_that_are_started_do_not_search_it_first() -> None:
    search_working_folder()
    Path("tokenizers.py").write_text("raise RuntimeError('not the library')")
    code = "import tokenizers; print(tokenizers.__version__)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=True)

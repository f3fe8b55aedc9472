"""A cell of a person's own is checked when a model is built; the package's are not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli import main
from unrolled.config.build import EVERYTHING
from unrolled.config.compose import compose_run
from unrolled.models import build
from unrolled.models.encoders import Features
from unrolled.models.heads import ValueHead
from unrolled.runs.identity import plain

OWN = """\
import torch
from unrolled.cells.gated import GatedCell

class Own(GatedCell):
    def step(self, z, state):
        {step}
"""
SOUND = "return (torch.tanh(z + self.recur(state[0])),)"
MIXES = "return (torch.tanh(z + self.recur(state[0])).cumsum(0),)"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """Writes a cell with a step into the working folder; gives the override that names it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(step: str) -> str:
        monkeypatch.delitem(sys.modules, "own_cells", raising=False)
        Path("own_cells.py").write_text(OWN.format(step=step))
        return "cell._target_=own_cells.Own"

    return write


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "return (z / 0 * 0,)",
            "Own: step returns NaN in h in double precision, though",
        ),
        ("raise SystemExit(0)", "SystemExit: 0 (own_cells.py:6)"),
        (
            f"if z.requires_grad: raise SystemExit(0)\n        {SOUND}",
            "Own.step fails on a batch of 3 in double precision: SystemExit: 0 (own_cells.py:6)",
        ),
        (
            f"if len(z) > 3: raise SystemExit(0)\n        {SOUND}",
            "own_cells.py:6: SystemExit(0) was raised during the run",
        ),
        (MIXES, "Own: step mixes the sequences of a batch"),
    ],
)
def test_a_run_with_a_cell_that_cannot_work_ends_with_the_reason(
    step: str,
    said: str,
    written: Callable[[str], str],
    overrides: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", *overrides(written(step))]) == 2
    assert said in capsys.readouterr().err


def test_what_the_package_has_is_not_checked_again(
    written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(build, "require_sound", lambda cell: checked.append(type(cell).__name__))
    for chosen in ("cell=lstm", "cell=slstm", written(SOUND)):
        config = plain(compose_run([chosen]))
        parts = build.Parts(3, lambda: Features(3), lambda hidden, _: ValueHead(hidden, 1))
        build.build_model(config, parts, trusted=EVERYTHING)
    assert checked == ["Own"]


def test_a_missing_method_is_said_before_data_is_read(
    written: Callable[[str], str],
    overrides: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = written("pass")
    Path("own_cells.py").write_text(
        "from unrolled.cells.base import Cell\n\n\nclass Own(Cell):\n    pass\n"
    )
    assert main(["train", *overrides(chosen, "dataset.path=absent.txt")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("unrolled: own_cells.py:4: Own has no project and no step; write it as")
    assert said.count("\n") == 1

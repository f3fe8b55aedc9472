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
            "Own: step returns NaN in h, though inputs and weights are finite",
        ),
        ("raise SystemExit(0)", "SystemExit: 0 (own_cells.py:6)"),
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
    for chosen in ("cell=lstm", "cell=slstm", written("return (torch.tanh(z),)")):
        config = plain(compose_run([chosen]))
        parts = build.Parts(3, lambda: Features(3), lambda hidden, _: ValueHead(hidden, 1))
        build.build_model(config, parts, trusted=EVERYTHING)
    assert checked == ["Own"]

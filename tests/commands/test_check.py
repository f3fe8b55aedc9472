"""``unrolled check`` as a person types it: what it says of cells that cannot work."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli import main

SMALL = ["--hidden-size", "8", "--batch-size", "2", "--length", "4"]
HEAD = """\
import torch
from unrolled.cells.base import Cell
from unrolled.cells.gated import GatedCell


class Sound(GatedCell):
    def step(self, z, state):
        return (torch.tanh(z + self.recur(state[0])),)


"""
Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Writes a module into the working folder and checks a cell; gives exit code and text."""
    # `check` puts the working folder on the path, and imports the module.
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(code: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.delitem(sys.modules, "their_cells", raising=False)
        Path("their_cells.py").write_text(HEAD + code)
        result = main(["check", *SMALL, *arguments])
        said = capsys.readouterr()
        return result, " ".join((said.out + said.err).split())

    return run


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ("(torch.log(-state[0] - z.abs()),)", "step returns NaN in h in double"),
        ("(torch.sqrt(z + state[0] - 0.5),)", "step returns NaN in h"),
        (
            "(torch.where(state[0] == 0, torch.nan, torch.tanh(z + state[0])),)",
            "NaN in h at step 1 in double",
        ),
    ],
)
def test_a_cell_that_gives_nan_is_told_so(check: Check, step: str, where: str) -> None:
    code = f"class Odd(Sound):\n    def step(self, z, state):\n        return {step}\n"
    result, said = check(code, "their_cells.Odd")
    assert result == 1
    assert where in said
    assert "though inputs and weights are finite" in said
    assert "second time" not in said


def test_nan_of_the_output_and_of_the_start_is_told_from_the_steps(check: Check) -> None:
    code = "class Odd(Sound):\n    def output(self, z, state):\n        return state[0] / 0 * 0\n"
    assert "output returns NaN in double precision, though" in check(code, "their_cells.Odd")[1]
    code = (
        "class Odd(Sound):\n    def initial_state(self, batch_size, like):\n"
        "        return (like.new_full((batch_size, self.hidden_size), torch.nan),)\n"
    )
    assert (
        "initial_state returns NaN in h in double precision, though"
        in check(code, "their_cells.Odd")[1]
    )


@pytest.mark.parametrize("end", ["SystemExit(0)", "SystemExit"])
def test_a_cell_that_ends_the_program_fails(check: Check, end: str) -> None:
    code = f"class Ends(Sound):\n    def step(self, z, state):\n        raise {end}\n"
    result, said = check(code, "their_cells.Ends")
    assert result == 1
    assert "Ends.step fails on a batch of 3 in double precision: SystemExit" in said
    assert "(their_cells.py:13)" in said
    assert "Ends is not sound" in said


def test_a_cell_that_ends_the_program_for_long_sequences_fails(check: Check) -> None:
    code = (
        "class Ends(Sound):\n    def project(self, x):\n"
        "        if len(x) > 1000:\n            raise SystemExit(0)\n"
        "        return super().project(x)\n"
    )
    result, said = check(code, "their_cells.Ends")
    assert result == 1
    assert "ok structure" in said
    assert "SystemExit: 0 (their_cells.py:14)" in said


def test_a_cell_that_ends_the_program_in_one_precision_fails(check: Check) -> None:
    code = (
        "class Ends(Sound):\n    def step(self, z, state):\n"
        "        if z.dtype == torch.float32:\n            raise SystemExit(0)\n"
        "        return super().step(z, state)\n"
    )
    result, said = check(code, "their_cells.Ends")
    assert result == 1
    assert "Ends.step fails on a batch of 3 in single precision: SystemExit: 0" in said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "class Odd(Cell):\n    def project(self, x):\n        return x\n",
            "their_cells.py:11: Odd has no step; write it as",
        ),
        ("class Odd(Cell):\n    pass\n", "their_cells.py:11: Odd has no project and no step;"),
        (
            "class Odd(Sound):\n    def __init__(self, i, h):\n        super().__init__(i, h)\n"
            "        [][1]\n",
            "their_cells.py:14: Odd(8, 8) cannot be built: IndexError: list index out of range",
        ),
        (
            "class Odd(Sound):\n    def __init__(self, i, h):\n"
            "        self.W = torch.nn.Linear(i, h)\n",
            "their_cells.py:13: Odd(8, 8) cannot be built: AttributeError: cannot assign module",
        ),
        (
            "class Odd(Sound):\n    def __init__(self, i):\n        super().__init__(i, i)\n",
            "their_cells.py:11: Odd(8, 8) cannot be built: TypeError: Odd.__init__() takes 2",
        ),
        (
            "class Odd(Sound):\n    def mix(self, old, new, keep):\n        return new\n",
            "their_cells.Odd defines mix, which is now called apply_zoneout",
        ),
    ],
)
def test_a_cell_that_cannot_be_built_is_one_sentence_with_its_line(
    check: Check, code: str, sentence: str
) -> None:
    result, said = check(code, "their_cells.Odd")
    assert result == 2
    assert said.startswith("unrolled: ")
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lstm", "foo=3"], "cell.foo: LSTM has no such hyperparameter (it has: projection_size)"),
        (["gru", "foo=3"], "cell.foo: GRU has no hyperparameters"),
        (["gru", "output_size=3"], "cell.output_size: GRU has no hyperparameters"),
        (["lru", "r_mix=0"], "did you mean cell.r_min?"),
        (["lru", "activation=sine"], "cell.activation=sine: must be gelu or none"),
        (["slstm", "heads=two"], "cell.heads=two: must be int"),
        (["lstm", "projection_size"], "projection_size: give a hyperparameter as key=value"),
        (["slstm", "heads=2,4"], "heads=2,4: give a hyperparameter as key=value"),
        (["slstm", "+heads=2"], "+heads=2: give a hyperparameter as key=value"),
    ],
)
def test_a_hyperparameter_that_a_cell_of_ours_lacks_is_named(
    check: Check, arguments: list[str], sentence: str
) -> None:
    result, said = check("", *arguments)
    assert result == 2
    assert sentence in said


@pytest.mark.parametrize(
    ("size", "needed"),
    [
        (["--hidden-size", "10000000"], "at least 6.4 PB of memory"),
        (["--length", "1000000000"], "at least 512.0 GB of memory"),
    ],
)
def test_a_layer_beyond_memory_is_refused_before_it_is_built(
    check: Check, size: list[str], needed: str
) -> None:
    result, said = check("", "lstm", *size)
    assert result == 2
    assert needed in said
    assert " are free; give smaller ones" in said


def test_a_cell_without_parameters_has_no_time_per_operation(check: Check) -> None:
    code = (
        "class Mean(Cell):\n    recurrent_weights = ()\n\n    def project(self, x):\n"
        "        return x.mean(-1, keepdim=True).expand(*x.shape[:-1], self.hidden_size)\n\n"
        "    def step(self, z, state):\n        return (state[0] / 2 + z,)\n"
    )
    result, said = check(code, "their_cells.Mean")
    assert result == 0
    assert "parameters none: nothing of this cell is trained" in said
    assert "no matrix product, so no time per FLOP" in said
    assert "x per FLOP" not in said


def test_a_hyperparameter_reaches_the_cell(check: Check) -> None:
    result, said = check("", "slstm", "heads=2")
    assert result == 0
    assert "SLSTM(heads=2, forget_gate=sigmoid)" in said
    assert "SLSTM is sound" in said

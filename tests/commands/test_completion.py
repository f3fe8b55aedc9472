"""``unrolled completion``: what it answers, how soon, and in real shells."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from unrolled.cli import COMMANDS
from unrolled.commands.completing import arguments, complete
from unrolled.commands.completion import SCRIPTS, replaced, split

Command = Callable[..., CompletedProcess[str]]


def answer(line: str) -> list[str]:
    return complete([*COMMANDS], split(line)[1:])


@pytest.fixture
def runs() -> None:
    for name in ("s/lstm-seed1-aaaaaa", "s/gru-seed1-bbbbbb", "t/lstm-seed2-cccccc"):
        folder = Path("outputs", name)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text('{"config": {"dataset": {"path": "x"}, "seed": 1}}')
    Path("data/none").mkdir(parents=True)
    Path("data/text.txt").write_text("text")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("unrolled tr", ["train"]),
        ("unrolled --v", ["--version"]),
        ("unrolled nothing x", []),
        ("unrolled train --dr", ["--dry-run"]),
        # Keys still come after a flag that stands among them.
        ("unrolled train -m cell=lstm --dry-run cell.backend=s", ["cell.backend=scan"]),
        ("unrolled train dataset=text dataset.path=da", ["dataset.path=data/"]),
        ("unrolled train dataset=text dataset.path=data/t", ["dataset.path=data/text.txt"]),
        ("unrolled train --config-dir d", ["data/"]),
        ("unrolled train 'optimizer.l", ["optimizer.lr="]),
        ("unrolled generate ", ["outputs/"]),
        ("unrolled generate outputs/", ["outputs/s/", "outputs/t/"]),
        ("unrolled generate outputs/s/l", ["outputs/s/lstm-seed1-aaaaaa"]),
        (
            "unrolled generate outputs/s/lstm-seed1-aaaaaa outputs/t/",
            ["outputs/t/lstm-seed2-cccccc"],
        ),
        (
            "unrolled generate outputs/s/lstm-seed1-aaaaaa --prompts data/",
            ["data/none/", "data/text.txt"],
        ),
        ("unrolled evaluate outputs/s/lstm-seed1-aaaaaa --split v", ["validation"]),
        ("unrolled evaluate outputs/s/lstm-seed1-aaaaaa data", ["dataset."]),
        ("unrolled evaluate outputs/s/nothing data", []),
        ("unrolled reproduce outputs/s/lstm-seed1-aaaaaa ", []),
        ("unrolled compare outputs/", ["outputs/s/", "outputs/t/"]),
        ("unrolled predict outputs/s/lstm-seed1-aaaaaa data/t", ["data/text.txt"]),
        ("unrolled check sl", ["slstm"]),
        ("unrolled check slstm ", ["forget_gate=", "heads="]),
        ("unrolled check slstm forget_gate=", ["forget_gate=sigmoid", "forget_gate=exp"]),
        ("unrolled completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_a_line_may_become(line: str, said: list[str], runs: None) -> None:
    assert sorted(answer(line)) == sorted(said)


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_are_those_of_the_parser(name: str) -> None:
    subparsers = argparse.ArgumentParser().add_subparsers()
    parser = import_module(f"unrolled.commands.{name}").add_parser(subparsers, "")
    theirs = {
        (*(a.option_strings or [a.dest]),): (a.nargs != 0, [*map(str, a.choices or [])])
        for a in parser._actions
        if a.dest != "help"
    }
    ours = {a.names: (a.takes_value, [*a.choices]) for a in arguments(name)}
    assert ours == theirs


def test_words_of_a_line() -> None:
    assert split("unrolled train ") == ["unrolled", "train", ""]
    assert split("unrolled generate 'my runs/a") == ["unrolled", "generate", "my runs/a"]
    assert split('unrolled train "') == ["unrolled", "train", ""]
    assert split("unrolled generate my\\ runs/") == ["unrolled", "generate", "my runs/"]
    # bash replaces what follows the = alone, and has no quotes of its own.
    assert replaced("cell=lstm,gru", "cell=lstm,g", "=:") == "lstm,gru"
    assert replaced("cell=lstm", "cell=l", "") == "cell=lstm"
    assert replaced("my runs/a b", "my runs/", "=:") == "my\\ runs/a\\ b"


def test_the_answer_comes_without_torch_or_hydra_and_soon() -> None:
    code = (
        "import sys; from unrolled.cli import main\n"
        "main(['completion', 'zsh', '--', 'train', 'task=classification', 'task.pooling='])\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    def answered() -> tuple[float, CompletedProcess[str]]:
        before = os.times()
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        after = os.times()
        spent = after.children_user - before.children_user
        return spent + after.children_system - before.children_system, result

    spent, result = answered()
    assert "task.pooling=attention" in result.stdout
    # What would keep a person waiting at the prompt.
    slow = {"torch", "pytorch_lightning", "torchmetrics", "hydra", "omegaconf", "numpy"}
    # Together they take as long as all that is needed.
    slow |= {"importlib.metadata", "email", "socket", "difflib"}
    assert not slow & {*result.stderr.split()}
    # Of the processor, and the least of three: what other tests do meanwhile only adds to it.
    assert min(spent, answered()[0], answered()[0]) < 0.3


def test_the_scripts_are_printed(command: Command) -> None:
    for shell, script in SCRIPTS.items():
        assert command("completion", shell).stdout == script
    assert "invalid choice" in subprocess.run(
        [sys.executable, "-m", "unrolled", "completion", "csh"],
        capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """``unrolled`` on the path, as this Python has it."""
    folder = Path("bin")
    folder.mkdir()
    file = folder / "unrolled"
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m unrolled "$@"\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder.resolve()), os.environ["PATH"]]))


def typed(shell: list[str], text: str) -> str:
    """What a shell prints."""
    return subprocess.run(
        shell, input=text, capture_output=True, text=True, check=True, timeout=60
    ).stdout


BASH = """
source <(unrolled completion bash)
offered() {
    COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
    compopt() { :; }
    _unrolled unrolled
    echo "${COMPREPLY[*]}"
}
offered "unrolled check sl"
offered "unrolled train cell=lstm,gru_l"
offered "unrolled train optim"
complete -p unrolled
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes(program: None) -> None:
    shown = typed(["bash", "--norc"], BASH).splitlines()
    assert shown[:3] == ["slstm", "lstm,gru_layernorm", "optimizer. optimizer="]
    assert "-F _unrolled" in shown[3]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes(program: None) -> None:
    ask = "unrolled completion fish | source; complete -C 'unrolled train cell=lstm,gru_l'"
    assert typed(["fish", "--no-config"], ask).split() == ["cell=lstm,gru_layernorm"]


ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1='> '; autoload -Uz compinit; compinit -u -D; source <(unrolled completion zsh)"
zpty -w z "echo READ'Y'"
zpty -r z shown '*READY*'
zpty -n -w z $'unrolled train cell=lstm,gru_l\\t'
zpty -r z shown '*gru_layernorm*' && print -r -- completed
zpty -d z
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_completes(program: None) -> None:
    begun = time.monotonic()
    assert "completed" in typed(["zsh", "-f"], ZSH)
    assert time.monotonic() - begun < 60

"""Each code block of the pages is run here or elsewhere, composes, or says why it is not run.

``train`` commands compose with all of their overrides, other commands parse, Python runs. A block
that is neither is named below with the reason.
"""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from unrolled.cli import COMMANDS, main
from unrolled.config.compose import compose_run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

# Where the Python of a page is run, and why it is not run here.
PYTHON_ELSEWHERE = {
    "cells.md": "tests/test_cli.py: written to a file and checked",
    "data.md": "tests/test_docs.py: written to a file and loaded",
    "export.md": "tests/export/test_folder.py: run beside an exported run",
    "layers.md": "tests/layers/test_examples.py",
    "python.md": "tests/api/test_page.py",
    "tasks.md": "tests/test_docs.py: written to a file, swept and compared",
}
# Languages that are shown and not run.
SHOWN = {"": "a drawing", "text": "output", "yaml": "a file", "toml": "a file"}
# Programs that are no part of the package, or act on the reader's machine.
OTHER_PROGRAMS = {"pip", "make", "echo", "printf", "chromium", "python", "cd", "wandb", "mlflow"}
# What the pages write in place of a thing of the reader's.
OWN_FILES = {
    "my_cells.py": ("cells.md", "# my_cells.py"),
    "my_tasks.py": ("tasks.md", "# my_tasks.py"),
    "my_data.py": ("data.md", "# my_data.py"),
}
# Installed by pip in the line above it; tests/test_example_plugin.py runs the page's commands.
NOT_COMPOSED = {"plugins.md": "needs the example plug-in"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line after a ``$``, continued lines joined, comments left out."""
    for language, block in blocks(page):
        if language == "console":
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield from _piped(shlex.split(line[2:], comments=True))


def _piped(words: list[str]) -> Iterator[list[str]]:
    for key, group in itertools.groupby(words, lambda word: word in {"|", "&&"}):
        if not key:
            yield [word for word in group if word != "…"]


CASES = [(page, words) for page in PAGES for words in commands(page)]
OURS = [case for case in CASES if case[1][0] == "unrolled"]


def named(value: object) -> str:
    return value.name if isinstance(value, Path) else " ".join(map(str, value))[:60]  # type: ignore[call-overload]


def test_every_block_is_run_or_says_why_not() -> None:
    for page in PAGES:
        for language, block in blocks(page):
            if language == "python":
                assert page.name in PYTHON_ELSEWHERE, f"{page.name}: {block[:60]}"
            else:
                assert language == "console" or language in SHOWN, f"{page.name}: {language}"
    for page, words in CASES:
        assert words[0] == "unrolled" or words[0] in OTHER_PROGRAMS, f"{page.name}: {words}"


@pytest.mark.parametrize("page", sorted(PYTHON_ELSEWHERE))
def test_the_tests_of_a_page_s_python_are_there(page: str) -> None:
    where = ROOT / PYTHON_ELSEWHERE[page].partition(":")[0]
    assert page in where.read_text(encoding="utf-8")
    assert any(language == "python" for language, _ in blocks(ROOT / "docs" / page))


TRAIN = [(p, w) for p, w in OURS if w[1] == "train" and p.name not in NOT_COMPOSED]


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, (page, first) in OWN_FILES.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        code = text.partition(f"```python\n{first}\n")[2].partition("```")[0]
        assert code
        (tmp_path / name).write_text(code, encoding="utf-8")
    (tmp_path / "DIR" / "cell").mkdir(parents=True)
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    quick = text.partition("```yaml\n# DIR/cell/quick.yaml\n")[2].partition("```")[0]
    (tmp_path / "DIR" / "cell" / "quick.yaml").write_text(quick, encoding="utf-8")


@pytest.mark.usefixtures("own_files")
@pytest.mark.parametrize(("page", "words"), TRAIN, ids=named)
def test_a_training_command_composes(page: Path, words: list[str]) -> None:
    overrides = [word for word in words[2:] if not word.startswith("-") and word != "DIR"]
    own = "DIR" if "--config-dir" in words else None
    if "-m" not in words and not any(word.startswith("experiment=") for word in overrides):
        compose_run(overrides, own)
        return
    # One value of each sweep: what several make is the sweep's own affair, tested there.
    firsts = [first for word in overrides if (first := first_value(word)) is not None]
    compose_run(firsts, own)


def first_value(override: str) -> str | None:
    """The first of an override's values; None for what speaks of the sweep itself."""
    key, _, value = override.partition("=")
    if key.startswith("hydra") or re.search(r"interval\(|range\(", value):
        return None
    return f"{key}={value}" if value.startswith("[") else f"{key}={value.split(',')[0]}"


OTHERS = [(page, words) for page, words in OURS if words[1] != "train"]


@pytest.mark.parametrize(("page", "words"), OTHERS, ids=named)
def test_another_command_has_the_flags_that_the_page_shows(
    page: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[1] in COMMANDS, page.name
    with pytest.raises(SystemExit) as ended:
        main([words[1], "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in words[2:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in shown, f"{page.name}: {word}"

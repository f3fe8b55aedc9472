"""What the last word of a command line may become: commands, flags, keys, choices, run folders.

A person waits at the prompt: what only some words need is imported where they need it.
"""

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled.config.candidates import Candidates, next_steps
from unrolled.config.working_folder import search_working_folder

HELP = ["-h", "--help"]


@dataclass(frozen=True)
class Argument:
    """An argument of a subcommand, as its source has it.

    Attributes:
        names: the flags, or the one name of a positional argument.
        takes_value: whether a word of its own follows the flag.
        repeats: whether a positional argument may have several words.
    """

    names: tuple[str, ...]
    metavar: str = ""
    choices: tuple[str, ...] = ()
    takes_value: bool = True
    repeats: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it begins with a dash."""
        return self.names[0].startswith("-")


def complete(commands: Sequence[str], words: Sequence[str]) -> list[str]:
    """What the last of ``words`` may become.

    Args:
        commands: the subcommands.
        words: what is typed after ``unrolled``; the last may be empty.
    """
    *before, word = words
    if not before:
        return _beginning(word, [*commands, *HELP, "--version"])
    if before[0] not in commands:
        return []
    known = arguments(before[0])
    flags = {name: one for one in known if one.is_flag for name in one.names}
    typed, waiting = _positional(before[1:], flags)
    if waiting is not None:
        return _values(waiting, word)
    if word.startswith("-"):
        return _beginning(word, [*flags, *HELP])
    places = [one for one in known if not one.is_flag]
    place = places[min(len(typed), len(places) - 1)] if places else None
    if place is None or (len(typed) >= len(places) and not place.repeats):
        return []
    if place.metavar == "key=value":
        search_working_folder()
        config_dir = _after(before, ("-cd", "--config-dir"))
        return _overrides(before[0], typed, word, config_dir)
    if place.metavar == "CELL":
        config_dir = _after(before, ("-cd", "--config-dir"))
        return _beginning(word, Candidates(config_dir=config_dir).options("cell"))
    return _values(place, word)


@cache
def arguments(command: str) -> list[Argument]:
    """The arguments of a subcommand, read off its source: importing it may take seconds."""
    return added_by(Path(__file__).with_name(f"{command}.py"), "add_parser")


def added_by(path: Path, function: str) -> list[Argument]:
    """The arguments that a function adds to a parser, in their order."""
    found: list[Argument] = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    calls = [node for node in ast.walk(body) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            found.append(_argument(call))
        elif isinstance(call.func, ast.Name) and call.func.id.startswith("add_"):
            found += added_by(path.with_name("options.py"), call.func.id)
    return found


def run_folders(typed: str) -> list[str]:
    """The folders that go on with ``typed`` and are runs, or have some below them."""
    from unrolled.runs.record import RECORD

    found = []
    for name, path in _entries(typed):
        if (path / RECORD).is_file():
            found.append(name)
        elif path.is_dir() and any(any(path.glob(f"{depth}{RECORD}")) for depth in ("*/", "*/*/")):
            found.append(f"{name}/")
    return found


def paths(typed: str) -> list[str]:
    """The files and folders that go on with ``typed``."""
    return [f"{name}/" if path.is_dir() else name for name, path in _entries(typed)]


def _entries(typed: str) -> Iterator[tuple[str, Path]]:
    """What is in the folder that is being typed, as it would be typed, and where it is."""
    folder, slash, start = typed.rpartition("/")
    place = Path(f"{folder}{slash}" or ".").expanduser()
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        if path.name.startswith(start) and (start or not path.name.startswith(".")):
            yield f"{folder}{slash}{path.name}", path


def _values(argument: Argument, word: str) -> list[str]:
    if argument.choices:
        return _beginning(word, argument.choices)
    if argument.metavar == "RUN":
        return run_folders(word)
    if argument.metavar == "DIR":
        return [path for path in paths(word) if path.endswith("/")]
    return paths(word) if argument.metavar == "FILE" or argument.names == ("file",) else []


def _overrides(command: str, typed: Sequence[str], word: str, own: str | None) -> list[str]:
    name, equals, value = word.partition("=")
    if equals and name.rpartition(".")[2].endswith(("path", "outputs", "cache")):
        return [f"{name}={path}" for path in paths(value)]
    if command == "check":
        return _hyperparameters(typed, word, own)
    if command == "evaluate":
        return _of_a_run(Path(typed[0]), word)
    return Candidates(typed, own).complete(word)


def _hyperparameters(typed: Sequence[str], word: str, own: str | None) -> list[str]:
    """Options of the cell that is checked, without their group."""
    group = "cell._target_" if "." in typed[0] else "cell"
    candidates = Candidates([f"{group}={typed[0]}"], own)
    name, equals, _ = word.partition("=")
    if equals:
        return [one.removeprefix("cell.") for one in candidates.complete(f"cell.{word}")]
    names = [*candidates.names(added=True), *candidates.names()]
    options = [one.removeprefix("cell.") for one in names if one.startswith("cell.")]
    return _beginning(name, [o for o in options if o not in ("name=", "_target_=", "backend=")])


def _of_a_run(folder: Path, word: str) -> list[str]:
    """Keys of the configuration that a run has stored."""
    from unrolled.runs.record import RECORD

    try:
        config = json.loads((folder / RECORD).read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        # What is wrong with it the command itself says.
        return []
    return next_steps(sorted(f"{key}=" for key in _dotted(config)), word)


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _positional(
    words: Sequence[str], flags: dict[str, Argument]
) -> tuple[list[str], Argument | None]:
    """The words that belong to no flag; and the flag whose value comes next, if any."""
    typed: list[str] = []
    waiting: Argument | None = None
    for word in words:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            found = flags.get(word)
            waiting = found if found is not None and found.takes_value else None
        else:
            typed.append(word)
    return typed, waiting


def _after(words: Sequence[str], flags: Sequence[str]) -> str | None:
    """The value of the last of some flags."""
    pairs = [*pairwise(words)]
    return next((value for flag, value in reversed(pairs) if flag in flags), None)


def _beginning(word: str, candidates: Sequence[str]) -> list[str]:
    return [one for one in candidates if one.startswith(word)]


def _argument(call: ast.Call) -> Argument:
    """What a call of ``add_argument`` says, as far as it is written out."""
    keywords = {one.arg: _literal(one.value) for one in call.keywords if one.arg}
    choices = keywords.get("choices")
    return Argument(
        tuple(str(_literal(one)) for one in call.args),
        metavar=str(keywords.get("metavar") or ""),
        choices=tuple(map(str, choices)) if isinstance(choices, list | tuple) else (),
        takes_value=keywords.get("action") in (None, "append"),
        repeats=keywords.get("nargs") in ("*", "+"),
    )


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None

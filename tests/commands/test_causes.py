import io
import json
from pathlib import Path

from rich.console import Console

from unrolled.commands.causes import causes, print_causes
from unrolled.commands.listing import RunLine


def line(number: int, state: str, error: str, study: str = "outputs/s") -> RunLine:
    name = f"lstm-seed{number}"
    return RunLine(name, "s", Path(study) / name, state, error=error)


LINES = [
    *(line(n, "failed", f"DivergedError: not a number at step {10 * n}") for n in range(6)),
    line(7, "interrupted", "Killed: lstm, seed 7: its process was killed by SIGKILL"),
    line(8, "failed", "OSError: data/part-8/text.txt is gone"),
    line(9, "failed", "OSError: data/part-9/text.txt is gone"),
    RunLine("gru-seed1", "s", Path("outputs/s/gru-seed1"), "finished"),
]


def printed(lines: list[RunLine]) -> list[str]:
    console = Console(file=io.StringIO(), width=60)
    print_causes(lines, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_what_differs_only_in_numbers_and_paths_is_one_cause() -> None:
    found = causes(LINES)
    assert [len(cause.runs) for cause in found] == [6, 2, 1]
    assert [cause.state for cause in found] == ["failed", "failed", "interrupted"]


def test_a_cause_is_told_once_with_whose_it_is(tmp_path: Path) -> None:
    assert printed(LINES) == [
        "failed: 6 runs: DivergedError: not a number at step 0",
        "  lstm-seed0, lstm-seed1, lstm-seed2, lstm-seed3 and 2 more",
        "  traceback: outputs/s/lstm-seed0/record.json",
        "failed: 2 runs: OSError: data/part-8/text.txt is gone",
        "  lstm-seed8, lstm-seed9",
        "  traceback: outputs/s/lstm-seed8/record.json",
        "interrupted: lstm-seed7: Killed: lstm, seed 7: its process was killed by SIGKILL",
    ]
    assert printed([LINES[-1]]) == []


def test_the_command_of_the_sweep_is_given_to_type_again(tmp_path: Path) -> None:
    study = tmp_path / "s"
    study.mkdir()
    (study / "sweep.json").write_text(json.dumps({"command": "unrolled train -m seed=1,2"}))
    failed = line(1, "failed", "a", str(study))
    cut = line(2, "interrupted", "b", str(study))
    retry = "to retry what failed: unrolled train -m seed=1,2 retry_failed=true"
    assert printed([failed, cut])[-1] == retry
    assert printed([cut])[-1] == "to go on with what is left: unrolled train -m seed=1,2"


def test_names_and_messages_are_not_taken_for_markup_or_commands() -> None:
    two = [
        line(number, "failed", "an [bold]error\x1b[2J", "out[red]puts\x9b") for number in (1, 2)
    ]
    said = printed(two)
    assert said[0] == "failed: 2 runs: an [bold]error\\x1b[2J"
    assert said[2] == "  traceback: out[red]puts\\x9b/lstm-seed1/record.json"

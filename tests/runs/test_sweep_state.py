"""What a sweep says of itself, whatever is in its file."""

import json
from pathlib import Path

import pytest

from unrolled.runs.processes import this_process
from unrolled.runs.sweep_state import is_under_way, read_sweep

STATE = {
    "jobs": 4,
    "started": 1.5,
    "ended": None,
    "command": "unrolled train -m seed=1,2",
    "process": this_process(),
}


def test_a_sweep_is_under_way_until_it_ends_or_its_process_is_gone(tmp_path: Path) -> None:
    assert not is_under_way(read_sweep(tmp_path))
    gone = {**this_process(), "pid": 2**22 + 1}
    for changes, expected in (({}, True), ({"ended": 2.0}, False), ({"process": gone}, False)):
        (tmp_path / "sweep.json").write_text(json.dumps(STATE | changes))
        assert is_under_way(read_sweep(tmp_path)) == expected
    assert read_sweep(tmp_path) == STATE | {"process": gone}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        "{}",
        '{"jobs": "many", "started": null, "ended": [], "command": 3, "process": 4}',
        '{"process": {"host": "HERE"}}',
        '{"process": {"host": "HERE", "pid": "x"}}',
        '{"process": {"host": "HERE", "pid": 1e300}}',
    ],
)
def test_an_odd_file_is_no_sweep_under_way(tmp_path: Path, content: str) -> None:
    content = content.replace("HERE", this_process()["host"])
    (tmp_path / "sweep.json").write_text(content)
    assert not is_under_way(read_sweep(tmp_path))

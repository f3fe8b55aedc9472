"""The code of docs/python.md, in order, on fewer steps."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
LENGTH = re.compile(r'"max_steps": \d+, "validate_every_steps": \d+')
SHORT = '"max_steps": 4, "validate_every_steps": 2, "limit_batches": 2'


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_the_code_of_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(LENGTH.sub(SHORT, block), str(PAGE), "exec"), names)
    assert len(blocks) > 6
    assert Path("report/report.html").is_file()

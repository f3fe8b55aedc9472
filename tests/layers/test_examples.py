"""The examples in the docstrings and on the page of layers run."""

import doctest
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


@pytest.mark.parametrize("module", ["", ".build", ".recurrent"])
def test_docstrings(module: str) -> None:
    found = doctest.testmod(import_module(f"unrolled.layers{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_page() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) >= 4
    for block in blocks:
        exec(block, names)

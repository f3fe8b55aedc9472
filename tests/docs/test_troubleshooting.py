"""What the page of troubleshooting quotes is still what the source says."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)


@cache
def sentences() -> tuple[str, ...]:
    """Every string of the package: those that stand side by side are one, values are ``{}``."""
    found = []
    for file in (ROOT / "src" / "unrolled").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_in_the_source(quoted: str) -> None:
    assert any(quoted in sentence for sentence in sentences())


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) > 15
    assert PAGE.count("\n| `") == len(QUOTED)

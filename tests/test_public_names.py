"""The public Python interface: complete, documented, and imported when it is used."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import unrolled

SOURCE = Path(unrolled.__file__).read_text(encoding="utf-8")


def names_for_type_checkers() -> dict[str, str]:
    """What the ``TYPE_CHECKING`` block imports: each name and its module."""
    (block,) = (
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.asname or alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_editors_see_the_names_that_there_are() -> None:
    assert names_for_type_checkers() == unrolled._PUBLIC
    assert [*unrolled._PUBLIC] == sorted(unrolled._PUBLIC)
    assert {*unrolled.__all__} == {"__version__", *unrolled._PUBLIC} <= {*dir(unrolled)}


def test_every_public_name_is_there_and_documented() -> None:
    for name, module in unrolled._PUBLIC.items():
        found = getattr(unrolled, name)
        assert found.__module__.startswith("unrolled."), name
        assert module in sys.modules
        assert inspect.getdoc(found), name


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'no_such_name'"):
        _ = unrolled.no_such_name


def test_importing_the_package_takes_under_a_tenth_of_a_second() -> None:
    code = (
        "import sys, time; start = time.process_time(); import unrolled; "
        "print(time.process_time() - start, *sys.modules)"
    )
    took, *modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(took) < 0.1
    assert {name for name in modules if name.startswith("unrolled")} == {"unrolled"}
    assert not {"torch", "omegaconf", "pytorch_lightning"} & {*modules}

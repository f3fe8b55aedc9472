"""The public names: quick to import, documented, and the same for whoever asks."""

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import unrolled

CODE = """
import sys, time
began = time.perf_counter()
import unrolled
print(time.perf_counter() - began)
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_the_package_is_imported_at_once_and_imports_nothing_heavy() -> None:
    outputs = [
        subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    # The quickest: another process may have had the core.
    assert min(float(one.stdout.split()[0]) for one in outputs) < 0.1
    found = set(outputs[0].stdout.split()[1:])
    assert "unrolled" in found
    assert not found & {"torch", "hydra", "omegaconf", "pandas", "polars", "numpy", "rich"}


def test_each_name_is_where_the_table_says_and_listed() -> None:
    assert list(unrolled.PUBLIC) == sorted(unrolled.PUBLIC) == unrolled.__all__
    assert {*dir(unrolled)} == {*unrolled.PUBLIC, "__version__"}
    for name, module in unrolled.PUBLIC.items():
        found = getattr(import_module(module), name)
        # The package of this name answers for the function.
        assert name == "runs" or getattr(unrolled, name) is found
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'trane'"):
        unrolled.trane  # type: ignore[attr-defined]  # noqa: B018


def test_editors_see_the_names_that_there_are() -> None:
    (block,) = (
        node
        for node in ast.parse(Path(unrolled.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == unrolled.PUBLIC


def test_a_function_and_a_package_share_a_name() -> None:
    import unrolled.runs.record as record

    assert record.Record.__module__ == "unrolled.runs.record"
    with pytest.raises(unrolled.UnrolledError, match="nowhere: no such folder"):
        unrolled.runs("nowhere")


@pytest.mark.parametrize("name", sorted(unrolled.PUBLIC))
def test_each_name_is_documented_with_an_example(name: str) -> None:
    found = getattr(import_module(unrolled.PUBLIC[name]), name)
    documentation = inspect.getdoc(found)
    assert documentation
    if name == "UnrolledError":
        return
    assert doctest.DocTestParser().get_examples(documentation)
    if inspect.isfunction(found):
        assert "Raises:" in documentation
        for parameter in inspect.signature(found).parameters:
            assert f"{parameter}:" in documentation


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_each_example_runs() -> None:
    # In one folder, so that what an example has trained already another one skips.
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    for name, module in unrolled.PUBLIC.items():
        found = getattr(import_module(module), name)
        for test in doctest.DocTestFinder(recurse=False).find(found, name, globs={}):
            said: list[str] = []
            runner.run(test, out=said.append)
            assert not runner.failures, "".join(said)
    assert runner.tries > 30

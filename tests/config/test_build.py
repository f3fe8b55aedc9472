import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from unrolled.config.build import EVERYTHING, arguments_of, build, target_of
from unrolled.errors import ConfigError


def test_a_stored_target_outside_the_package_is_not_followed() -> None:
    node = OmegaConf.create({"_target_": "my_cells.MyCell"})
    with pytest.raises(ConfigError, match="--trust my_cells"):
        target_of(node)
    with pytest.raises(ConfigError, match="--trust my_cells"):
        target_of(node, trusted=["my_tasks."])


@pytest.mark.parametrize("name", ["os.system", "pathlib.Path", "torch.hub.load", "numpy.load"])
def test_trust_is_not_offered_for_what_no_person_wrote(name: str) -> None:
    with pytest.raises(ConfigError, match="part of a library and no cell") as caught:
        target_of(OmegaConf.create({"_target_": name}))
    assert "--trust" not in str(caught.value)


def test_python_s_own_modules_are_not_followed_even_when_trusted() -> None:
    with pytest.raises(ConfigError, match="os is part of Python"):
        target_of(OmegaConf.create({"_target_": "os.system"}), trusted=["os."])


def test_a_trusted_module_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_module.py").write_text("def make(a, b=2):\n    return a + b\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    node = OmegaConf.create({"_target_": "my_module.make", "a": 1})
    assert build(node, trusted=["my_module."]) == 3
    assert build(node, trusted=["my_module."], b=5) == 6


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_absent.Cell", "no module my_absent"),
        ("unrolled.cells.lstm.GRU", "has no GRU"),
        ("MyCell", "name a module"),
        ("unrolled.cells.lru.ACTIVATIONS", "a tuple, which builds nothing"),
    ],
)
def test_what_is_not_there_is_named(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        target_of(OmegaConf.create({"_target_": target}), trusted=EVERYTHING)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os\nimport absent_library\n", "line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nx = f()\n", "line 2: ZeroDivisionError: division by zero"),
        ("class A(:\n    pass\n", "line 1: invalid syntax\n  class A(:"),
        ("import sys\nsys.exit(0)\n", "line 2: SystemExit: 0\n  sys.exit(0)"),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError: .*\n  json.loads"),
    ],
)
def test_a_module_that_cannot_be_imported_is_its_own_file_and_line(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"my_broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    said = re.escape(said).replace(r"\.\*", ".*")
    with pytest.raises(ConfigError, match=rf"{name}\.py, {said}") as caught:
        target_of(OmegaConf.create({"_target_": f"{name}.Cell"}), trusted=EVERYTHING)
    assert str(caught.value).count("\n") == 1


def test_a_loader_gets_the_choice_s_name_where_it_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_loaders.py").write_text(
        "def with_name(name, rows: float): return name, rows\n"
        "def without(rows: int): return rows\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = OmegaConf.create({"dataset": {"name": "mine", "_target_": "", "rows": 3}})
    config.dataset._target_ = "my_loaders.with_name"
    assert build(config.dataset, trusted=EVERYTHING) == ("mine", 3.0)
    config.dataset._target_ = "my_loaders.without"
    assert build(config.dataset, trusted=EVERYTHING) == 3
    config.dataset.rows = "many"
    with pytest.raises(ConfigError, match=r"dataset\.rows=many: must be int"):
        build(config.dataset, trusted=EVERYTHING)


def test_arguments_leave_out_the_target_and_what_is_named() -> None:
    node = OmegaConf.create({"_target_": "x.y", "name": "n", "k": [1, {"a": 2}]})
    assert arguments_of(node, "name") == {"k": [1, {"a": 2}]}

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from unrolled.config.build import EVERYTHING, arguments_of, build, target_of
from unrolled.errors import ConfigError


def test_a_stored_target_outside_the_package_is_not_followed() -> None:
    node = OmegaConf.create({"_target_": "os.system", "command": "true"})
    with pytest.raises(ConfigError, match="--trust os"):
        target_of(node)
    with pytest.raises(ConfigError, match="--trust os"):
        target_of(OmegaConf.create({"_target_": "os.system"}), trusted=["my_cells."])


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
    ],
)
def test_what_is_not_there_is_named(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        target_of(OmegaConf.create({"_target_": target}), trusted=EVERYTHING)


def test_a_fault_inside_the_person_s_module_keeps_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken.py").write_text("import a_library_that_is_not_here\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_here"):
        target_of(OmegaConf.create({"_target_": "my_broken.Cell"}), trusted=EVERYTHING)


def test_arguments_leave_out_the_target_and_what_is_named() -> None:
    node = OmegaConf.create({"_target_": "x.y", "name": "n", "k": [1, {"a": 2}]})
    assert arguments_of(node, "name") == {"k": [1, {"a": 2}]}

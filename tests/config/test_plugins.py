"""Installed packages add choices by name, without being imported; one that is broken is left out
and named."""

import logging
import sys
import time
from pathlib import Path

import pytest

from unrolled.config import plugins as module
from unrolled.config.build import target_of
from unrolled.config.compose import compose_run
from unrolled.config.groups import config_groups
from unrolled.config.locations import frozen, plugin_directories
from unrolled.errors import ConfigError
from unrolled.runs.identity import identity
from unrolled.sweeps.expansion import plan
from unrolled.training.environment import describe_environment

CELL = "name: leaky\n_target_: {package}.cells.Leaky\nleak: 0.5\nbackend: auto\n"
CODE = "class Leaky:\n    def __init__(self, i, h, leak: float = 0.5): ...\n"


@pytest.fixture(autouse=True)
def _searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))


def install(
    name: str,
    files: dict[str, str] | None = None,
    *,
    value: str | None = None,
    entry_points: str | None = None,
) -> Path:
    """Lay out an installed package as pip does; its ``__init__`` may not be imported."""
    installed = Path("installed")
    package = installed / name
    choices = {"conf/cell/leaky.yaml": CELL.format(package=name)} if files is None else files
    for file, content in {"__init__.py": "1 / 0\n", "cells.py": CODE, **choices}.items():
        path = package / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    about = installed / f"{name}_dist-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n")
    text = f"[unrolled.plugins]\n{name} = {value or name}\n"
    (about / "entry_points.txt").write_text(entry_points or text)
    return package


def test_choices_of_an_installed_package_are_composed_without_importing_it() -> None:
    task = "name: mine\n_target_: first.tasks.Mine\nmonitor: null\n"
    study = "# @package _global_\ndefaults:\n  - override /cell: leaky\nstudy: theirs\n"
    package = install(
        "first",
        {
            "conf/cell/leaky.yaml": CELL.format(package="first"),
            "conf/dataset/mine.yaml": "name: mine\n_target_: first.cells.Leaky\ni: 1\nh: 2\n",
            "conf/task/mine.yaml": task,
            "conf/experiment/theirs.yaml": study,
            "tasks.py": "class Mine:\n    def __init__(self, *, name, monitor=None): ...\n",
        },
    )
    config = compose_run(["cell=leaky", "cell.leak=1", "task=mine", "dataset=mine"])
    assert (config.cell.leak, config.task._target_) == (1, "first.tasks.Mine")
    assert compose_run(["experiment=theirs"]).cell.name == "leaky"
    assert [c.cell.name for c in plan(["cell=leaky,gru"], multirun=True).configs] == [
        "leaky",
        "gru",
    ]
    with pytest.raises(ConfigError, match=r"did you mean cell\.leak"):
        compose_run(["cell=leaky", "cell.leek=1"])
    with pytest.raises(ConfigError, match="leak belongs to cell=leaky"):
        compose_run(["cell.leak=1"])
    assert "first" not in sys.modules
    # The code of the class counts, as that of one's own does.
    (package / "__init__.py").write_text("")
    before = identity(config, "f")
    (package / "cells.py").write_text(CODE + "\n# changed\n")
    assert identity(config, "f") != before


@pytest.mark.parametrize(
    ("files", "value", "said"),
    [
        ({}, None, r"first has no folder conf with config groups"),
        (None, "absent", "there is no package absent; is it installed in full"),
        (None, "first.cells", "there is no package first.cells"),
        (None, "first:register", "its entry point is first:register, and the name of a package"),
        (None, "unrolled.cells", "unrolled.cells is Unrolled's own"),
        ({"conf/cell/lstm.yaml": "name: lstm\n"}, None, "there is cell=lstm already; rename"),
        ({"conf/train.yaml": "seed: 2\n"}, None, "there is train already"),
        (
            {"conf/hydra/launcher/basic.yaml": "_target_: x\n"},
            None,
            "there is hydra/launcher=basic already",
        ),
        (
            {"conf/experiment/first_comparison.yaml": "study: x\n"},
            None,
            "there is experiment=first_comparison already",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_left_out_and_named_once(
    files: dict[str, str] | None, value: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("first", files, value=value)
    install("other", {"conf/cell/other.yaml": CELL.format(package="other")})
    with caplog.at_level(logging.WARNING), config_groups() as groups:
        assert "other" in groups.options("cell")
        assert "leaky" not in groups.options("cell")
    assert compose_run(["cell=lstm"]).seed == 1
    (message,) = caplog.messages
    assert message.startswith("unrolled: the plug-in first (first-dist 1.0) is left out: ")
    assert said in message
    assert "\n" not in message


def test_a_choice_that_two_plug_ins_have_is_nobody_s(caplog: pytest.LogCaptureFixture) -> None:
    install("first")
    install("second")
    with caplog.at_level(logging.WARNING), config_groups() as groups:
        assert "leaky" not in groups.options("cell")
    assert [m.partition(" is left out: ")[0].split()[3] for m in caplog.messages] == [
        "first",
        "second",
    ]
    assert "cell=leaky is also in the plug-in second (second-dist 1.0)" in caplog.messages[0]


def test_metadata_that_cannot_be_read_takes_nothing_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    install("first", entry_points="[unrolled.plugins]\nno value\n")
    install("other", {"conf/cell/other.yaml": CELL.format(package="other")})
    with caplog.at_level(logging.WARNING):
        assert len(plugin_directories()) == 1
    assert "first_dist-1.0.dist-info" in caplog.text


def test_a_package_without_plug_ins_is_none(caplog: pytest.LogCaptureFixture) -> None:
    install("first", entry_points="[console_scripts]\nfirst = first:main\n")
    # As old installers wrote what they know of a package.
    Path("installed/second-1.0.egg-info").write_text("Metadata-Version: 1.1\nName: second\n")
    assert plugin_directories() == []
    assert not caplog.messages


def test_a_sweep_reads_plug_ins_as_they_were_when_it_began(tmp_path: Path) -> None:
    package = install("first")
    with frozen(tmp_path / "copy"):
        (package / "conf/cell/leaky.yaml").write_text("name: changed\n")
        assert compose_run(["cell=leaky"]).cell.name == "leaky"
    with pytest.raises(ConfigError, match=r"cell\._target_ is needed"):
        compose_run(["cell=leaky"])


def test_a_stored_run_follows_a_plug_in_only_where_it_is_trusted() -> None:
    package = install("first")
    node = compose_run(["cell=leaky"]).cell
    with pytest.raises(ConfigError) as caught:
        target_of(node)
    assert "first.cells.Leaky, of the plug-in first (first-dist 1.0)" in str(caught.value)
    assert "say so: --trust first, in Python" in str(caught.value)
    assert "first" not in sys.modules
    (package / "__init__.py").write_text("")
    assert target_of(node, ["first."]).__name__ == "Leaky"


def test_the_record_has_the_version_of_a_plug_in_that_is_used() -> None:
    install("first")
    used = describe_environment(compose_run(["cell=leaky"]))
    assert used["packages"]["first-dist"] == "1.0"
    assert describe_environment(compose_run())["packages"] == describe_environment()["packages"]


def test_finding_plug_ins_takes_no_time() -> None:
    install("first")

    def measured() -> float:
        module._plugins.cache_clear()
        begun = time.perf_counter()
        assert len(plugin_directories()) == 1
        return time.perf_counter() - begun

    assert min(measured() for _ in range(5)) < 0.02

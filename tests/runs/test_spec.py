"""A run before it is made, and how far it has come."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from unrolled.runs.identity import as_dict, identity, plain
from unrolled.runs.record import Record
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status

Configure = Callable[..., DictConfig]


def spec_of(config: DictConfig) -> RunSpec:
    return RunSpec.of(plain(config), "ab" * 32)


def record_of(spec: RunSpec, folder: Path, status: str = "finished") -> None:
    name, config = folder.name, as_dict(spec.config)
    Record(spec.identity, "default", name, 1, config, status=status).write(folder)


def test_a_spec_has_all_that_a_process_needs(configure: Configure) -> None:
    config = configure("seed=3")
    spec = spec_of(config)
    assert spec.identity == identity(config, "ab" * 32)
    assert spec.folder == Path(f"outputs/default/lstm-seed3-{spec.identity[:6]}")
    copy = pickle.loads(pickle.dumps(spec))
    assert (copy.config, copy.identity, copy.folder) == (spec.config, spec.identity, spec.folder)


def test_a_spec_elsewhere_is_the_same_run(configure: Configure) -> None:
    spec = spec_of(configure())
    there = spec.elsewhere(plain(configure("paths.outputs=/there")))
    assert there.identity == spec.identity
    assert there.folder == Path("/there/default") / spec.name


def test_the_status_of_a_run_is_that_of_its_record(configure: Configure) -> None:
    spec = spec_of(configure())
    assert (run_status(spec).state, run_status(spec).record) == ("new", None)
    record_of(spec, spec.folder)
    assert run_status(spec).state == "finished"
    (spec.folder / "record.json").write_text("{")
    assert run_status(spec).state == "damaged"


def test_a_run_is_found_under_the_name_that_another_sweep_gave_it(configure: Configure) -> None:
    spec = spec_of(configure())
    other = spec.study / f"lstm-seed1-lr0.01-{spec.identity[:6]}"
    record_of(spec, other)
    # A name has six letters of an identity, which another run's may begin with as well.
    stranger = spec_of(configure("seed=2"))
    record_of(stranger, spec.study / f"gru-{spec.identity[:6]}")
    assert (run_status(spec).folder, run_status(spec).state) == (other, "finished")


def test_a_status_needs_no_torch() -> None:
    code = "import sys, unrolled.runs.status; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

"""A configuration from a record is refused for whatever a typed one would be."""

from functools import cache
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from unrolled.config.compose import compose_run
from unrolled.config.stored import ADDED, stored_config
from unrolled.errors import RunError
from unrolled.runs.identity import as_dict


@cache
def composed() -> DictConfig:
    return compose_run(["cell=slstm"])


def kept(**changes: Any) -> dict[str, Any]:
    """What a record has, with some dotted keys changed; ``...`` takes one away."""
    values = as_dict(composed())
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = values
        for parent in parents:
            node = node[parent]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return values


def test_what_a_run_had_comes_back_as_it_was() -> None:
    assert stored_config(kept(), "a run") == composed()
    own = {"name": "A", "_target_": "absent_cells.A", "backend": "auto", "leak": 1}
    assert stored_config(kept(cell=own), "a run").cell == own
    none = stored_config(kept(dataset={"name": "none"}, tokenizer={"name": "none"}), "a run")
    assert none.dataset.name == "none"


def test_keys_that_the_first_versions_lack_are_as_they_were_without_them() -> None:
    lacking = {key.replace(".", "__"): ... for key in ADDED}
    config = stored_config(kept(**lacking), "a run")
    for key, value in ADDED.items():
        assert OmegaConf.select(config, key) == value


def test_the_number_of_devices_and_the_cache_are_what_is_true_here() -> None:
    config = stored_config(kept(trainer__devices=7, paths__cache="/etc"), "a run")
    assert (config.trainer.devices, config.paths.cache) == (1, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": "../../x"}, "study=../../x: the name of one folder"),
        ({"study": "a/b"}, "study=a/b: the name of one folder"),
        ({"study": ".."}, "a reserved name"),
        ({"study": "a\x1b[31m"}, r"control characters"),
        ({"study": 3.5j}, "study="),
        ({"study": ...}, "study is missing"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"seed": "one"}, "seed=one: must be int"),
        ({"foo": 1}, "foo: no such key"),
        ({"model__hiden_size": 3}, r"did you mean model\.hidden_size"),
        ({"model__layers": 0}, r"model\.layers=0: must be at least 1"),
        ({"model__layers": "many"}, r"model\.layers=many: must be int"),
        ({"model": 3}, "model=3: a choice of a group"),
        ({"dataset": None}, "dataset=None: a choice of a group"),
        ({"dataset": {"name": "none", "path": "x"}}, "none has no such hyperparameter"),
        ({"cell__heads": "two"}, r"cell\.heads=two: must be int"),
        ({"cell__hedas": 2}, r"did you mean cell\.heads"),
        ({"cell___target_": "unrolled.cells.absent.A"}, "nothing of this name"),
        ({"cell___target_": None}, r"cell\._target_ is needed"),
        ({"cell___target_": "os.system"}, "os is part of Python"),
        ({"paths__outputs": ""}, r"paths\.outputs=''"),
        ({"task__sample__prompt": "${oc.env:HOME}"}, "refers to nothing else"),
        ({"dataset__first_year": "???"}, "refers to nothing else"),
        ({"optimizer__lr": float("nan")}, r"optimizer\.lr=nan: must be a number"),
    ],
)
def test_what_no_run_could_have_had_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError, match=said) as caught:
        stored_config(kept(**changes), "outputs/a/run")
    assert str(caught.value).startswith("outputs/a/run: its stored configuration cannot be used: ")

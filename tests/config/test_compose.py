from pathlib import Path

import pytest
from omegaconf import OmegaConf

from unrolled.config.compose import apply_overrides, compose_run
from unrolled.errors import ConfigError, UnrolledError
from unrolled.runs.identity import identity, plain
from unrolled.sweeps.expansion import plan

CELLS = """
raise RuntimeError("a configuration is composed without running this")

class A:
    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5): ...

class B(A): ...

class Anything:
    def __init__(self, *args, **options): ...
"""


@pytest.fixture(autouse=True)
def _own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_cells.py").write_text(CELLS)
    Path("my_tasks.py").write_text("class Adding:\n    def __init__(self, *, length: int): ...\n")
    Path("my_data.py").write_text("def load(name: str, rows: int = 3): ...\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))


@pytest.mark.parametrize(
    ("override", "way_out"),
    [
        ("modle.layers=2", "did you mean model.layers?"),
        ("model.layer=2", "did you mean model.layers?"),
        ("hidden_size=3", "did you mean model.hidden_size?"),
        ("lr=0.1", "did you mean optimizer.lr?"),
        ("trainer.max_step=5", "did you mean trainer.max_steps?"),
        ("cel=gru", "did you mean cell"),
        ("cell=lstmm", "did you mean lstm?"),
        ("dataset=sotuu", "did you mean sotu"),
        ("experiment=first_comparisn", "did you mean first_comparison?"),
        ("trainer=gpus", "did you mean gpu?"),
        ("dataset.path=x.txt", "path belongs to dataset=arrays, folders, hub, hub_labeled"),
        ("scheduler.factor=0.5", "factor belongs to scheduler=exponential, plateau, step"),
        ("model.layers=two", "model.layers=two: must be int"),
        ("seed=1.5", "seed=1.5: must be int"),
        ("trainer.precision=fp16", "must be auto or fp32 or bf16"),
        (
            "cell.backend=fast",
            "must be auto or native or analytic or generated or eager or compiled or scan",
        ),
        ("model.layers=null", "model.layers=null: must be int"),
        ("tokenizer.minimum_count=few", "tokenizer.minimum_count=few: must be int"),
        ("dataset.first_year=then", "dataset.first_year=then: must be int"),
        ("scheduler.warmup_steps=1.5", "scheduler.warmup_steps=1.5: must be int"),
        ("optimizer.eps=small", "optimizer.eps=small: must be float"),
        ("name_by=seed", "name_by=seed: must be a list"),
        ("optimizer.betas=[0.9]", "a list of 2 values"),
        ("optimizer.betas=[a,b]", "optimizer.betas=a: must be a number"),
        ("cell.xyz=3", "cell.xyz: no such key (cell has: name, _target_, projection_size"),
        ("cell=null", "cell=null: no such choice"),
        ("+model.hiden_size=3", "did you mean model.hidden_size?"),
        ("++trainer.max_stepz=4", "did you mean trainer.max_steps?"),
        ("++optimizer.lr_=3", "did you mean optimizer.lr?"),
        ("+foo=1", "foo: no such key"),
        ("+foo.bar=1", "foo.bar: no such key"),
        ("+seed=3", "leave out the +"),
        ("+model.layers=3", "leave out the +"),
        ("+cell=gru", "leave out the +"),
        ("+cell.heads=3", "heads belongs to cell=slstm"),
        ("~trainer.max_steps", "nothing can be taken away"),
        ("~cell", "nothing can be taken away"),
        ("~hydra.job", "nothing can be taken away"),
        ("+hydra.foo=1", "hydra.foo: no such key"),
        ("++hydra.job.foo=1", "hydra.job.foo: no such key"),
        ("dataset=text", "dataset.path is needed"),
        ("model.dropout=1.0", "below 1"),
        ("model.layers=0", "at least 1"),
        ("seed=-1", "at least 0"),
        ("validation=kfolds", "did you mean kfold?"),
        ("folds=5", "folds=5: is of cross-validation; add validation=kfold"),
        ("fold=0", "fold=0: is of cross-validation; add validation=kfold"),
        ("validation.holds_out=test", "add validation=kfold"),
        ("optimizer.lr=-1", "above 0"),
        ("optimizer.lr=nan", "must be a number"),
        ("trainer.gradient_clip=0", "above 0"),
        ("optimizer.betas=[2,3]", "below 1"),
        ("trainer.max_steps=null", "would never end"),
        ("trainer.profiler=deep", "simple or advanced or null"),
        ("trainer.devices=7", "trainer.devices=7 needs trainer=ddp"),
        ("optimizer.eps=0", "is updated by 0 / (0 + eps)"),
        ("optimizer.eps=1e-45", "must be at least 1.2e-38"),
        ("study=a/b", "without a slash"),
        ("study=../x", "without a slash"),
        ("study=..", "a reserved name"),
        ("study=nul", "a reserved name"),
        ("study=", "study is empty"),
        ("study='a\x1b[31mb'", "control characters"),
        ("study='a\x9bb'", "control characters"),
        ("study='a\tb'", "control characters"),
        (f"study={'a' * 300}", "longer than 200 bytes"),
        ("paths.outputs=", "the path of a folder is needed"),
        ("paths.outputs='a\x07b'", "the path of a folder is needed"),
        ("seed=1,2", "add -m"),
        ("model.layers", "cannot read an override"),
        ("hydra/launcher=lokal", "did you mean local?"),
        ("hydra.jb.chdir=true", "did you mean hydra.job"),
        ("hydra.job.chdri=true", "did you mean hydra.job.chdir?"),
        ("hydra.job.chdir=maybe", "hydra.job.chdir=maybe: Value 'maybe'"),
    ],
)
def test_a_wrong_override_is_named_with_the_way_out(override: str, way_out: str) -> None:
    with pytest.raises(UnrolledError) as caught:
        compose_run([override])
    assert way_out in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_that_need_each_other() -> None:
    with pytest.raises(ConfigError, match=r"needs optimizer\.momentum"):
        compose_run(["optimizer=sgd", "optimizer.nesterov=true"])
    with pytest.raises(ConfigError, match=r"model\.residual=true: needs model\.layers of 2"):
        compose_run(["model.residual=true"])
    narrower = "model.last_layer_size=4"
    with pytest.raises(ConfigError, match=r"model\.last_layer_size=4: needs model\.layers of 2"):
        compose_run([narrower])
    with pytest.raises(ConfigError, match=r"all layers must be equally wide; set one of them"):
        compose_run([narrower, "model.layers=2", "model.residual=true"])
    with pytest.raises(ConfigError, match=r"model\.zoneout=1\.0: must be at least 0 and below 1"):
        compose_run(["model.zoneout=1"])
    with pytest.raises(ConfigError, match=r"budget\.parameters=100000 and budget\.flops=5"):
        compose_run(["budget=equal", "budget.flops=5"])
    with pytest.raises(ConfigError, match=r"budget\.flops=0: must be at least 1"):
        compose_run(["budget.flops=0"])
    with pytest.raises(ConfigError, match=r"at most 1"):
        compose_run(["scheduler=plateau", "scheduler.factor=2"])
    with pytest.raises(ConfigError, match=r"evenly among trainer\.devices=3"):
        compose_run(["trainer=ddp", "trainer.devices=3"])


def test_dropouts_follow_the_one_key_unless_set_themselves() -> None:
    config = compose_run(["model.dropout=0.3", "model.output_dropout=0.1"])
    assert config.model.embedding_dropout == config.model.layer_dropout == 0.3
    assert config.model.output_dropout == 0.1


def test_group_choices_of_a_folder_of_ones_own() -> None:
    folder = Path("conf/cell")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: mine\n_target_: my_cells.A\nleak: 3\n")
    config = plan(["cell=mine"], config_dir="conf").configs[0]
    assert config.cell == {
        "name": "mine", "_target_": "my_cells.A", "leak": 3, "backend": "auto"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no such folder"):
        plan([], config_dir="nowhere")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: x\n\tfoo: 1\n", r"conf/cell/mine\.yaml, line 2: found character"),
        (b"name: [1, 2\nfoo: 3\n", r"conf/cell/mine\.yaml, line 2: expected"),
        (b"name: a\nname: b\n", r"conf/cell/mine\.yaml, line 2: found duplicate key name"),
        (
            b"a: !!python/object/apply:os.system ['x']\n",
            r"mine\.yaml, line 1: could not determine",
        ),
        (b"name: caf\xe9\n", r"conf/cell/mine\.yaml: not UTF-8"),
        (b"name: a\x00b\n", r"mine\.yaml: unacceptable character"),
        (b"- a\n- b\n", "cell=.*: a choice of a group has several keys"),
        (b"", r"cell\.name is needed"),
        (b"name: x\n", r"cell\._target_ is needed"),
        (b"defaults: 3\nname: x\n", "defaults must be a list"),
        (b"defaults: [absent]\nname: x\n", "Could not load 'cell/absent'"),
        (b"name: ${absent.key}\n", r"cell\.name: Interpolation key 'absent\.key' not found"),
        (
            b"name: x\n_target_: unrolled.cells.slstm.SLSTM\nhedas: 3\n",
            r"did you mean cell\.heads",
        ),
        (b"name: x\n_target_: unrolled.cells.absent.A\n", "nothing of this name in unrolled"),
        (b"# @package foo\nname: x\n", "foo: no such key"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_fault(content: bytes, said: str) -> None:
    folder = Path("conf/cell")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        plan(["cell=mine"], config_dir="conf")
    assert "\n" not in str(caught.value)


def test_a_cell_of_ones_own_by_its_target_with_hyperparameters() -> None:
    config = compose_run(["cell._target_=my_cells.A", "+cell.leak=0.5"])
    assert config.cell == {
        "name": "A", "_target_": "my_cells.A", "backend": "auto", "leak": 0.5
    }  # fmt: skip
    named = compose_run(["cell._target_=my_cells.A", "cell.name=mine"])
    assert named.cell.name == "mine"
    # A choice that is typed keeps its options.
    lstm = compose_run(["cell=lstm", "cell._target_=my_cells.Anything"])
    assert "projection_size" in lstm.cell
    with pytest.raises(ConfigError, match=r"cell\._target_ is needed"):
        compose_run(["cell=custom"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["cell._target_=my_cells.A", "+cell.leek=1"],
            r"A has no such .*; did you mean cell\.leak",
        ),
        (["cell._target_=my_cells.A", "+cell.leak=high"], r"cell\.leak=high: must be float"),
        (["cell._target_=my_cells.A", "cell.leak=1"], r"cell\.leak: no such key"),
        (["cell._target_=my_cells.A", "++cell.leak=1"], r"cell\.leak: no such key"),
        (["cell._target_=my_cells.A", "+cell.name=x"], r"leave out the \+"),
        (["cell._target_=my_cells.AA"], r"did you mean my_cells\.A\?"),
        (["cell._target_=no_cells.A"], "there is no module no_cells"),
        (["cell._target_=os.system"], "os is part of Python"),
        (["cell._target_=A"], "name a module"),
        (
            ["task._target_=my_tasks.Adding"],
            r"task\.length is needed by Adding: give \+task\.length",
        ),
        (["task._target_=my_tasks.Adding", "+task.length=x"], r"task\.length=x: must be int"),
        (["task._target_=my_tasks.Adding", "+task.size=1"], "Adding has no such hyperparameter"),
        (["dataset._target_=my_data.load", "+dataset.rows=x"], r"dataset\.rows=x: must be int"),
        (["dataset._target_=my_data.load", "+dataset.row=1"], r"did you mean dataset\.rows"),
    ],
)
def test_options_of_ones_own_code_are_checked_before_it_is_imported(
    overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        compose_run(overrides)


def test_a_task_and_a_data_set_of_ones_own_by_their_targets() -> None:
    config = compose_run(
        ["task._target_=my_tasks.Adding", "+task.length=1e2", "dataset._target_=my_data.load"]
    )
    assert config.task == {
        "name": "Adding", "_target_": "my_tasks.Adding", "monitor": None, "length": 100
    }  # fmt: skip
    assert type(config.task.length) is int
    assert config.dataset == {"name": "load", "_target_": "my_data.load"}


TASK = """# A task that brings its own examples.
defaults:
  - override /dataset@_global_.dataset: none
  - override /tokenizer@_global_.tokenizer: none
  - _self_
name: adding
_target_: my_tasks.Adding
monitor: null
length: 100
"""
STUDY = "# @package _global_\ndefaults:\n  - override /task: adding\n{more}study: e\n"


def test_a_task_may_choose_its_data_and_whoever_asks_for_other_data_goes_before_it() -> None:
    for name in ("task", "experiment"):
        Path("conf", name).mkdir(parents=True)
    Path("conf/task/adding.yaml").write_text(TASK)
    Path("conf/experiment/e.yaml").write_text(STUDY.format(more=""))
    Path("conf/experiment/f.yaml").write_text(
        STUDY.format(more="  - override /dataset: sotu_full\n")
    )

    def chosen(*overrides: str) -> tuple[str, str]:
        config = plan(overrides, config_dir="conf").configs[0]
        return config.dataset.name, config.tokenizer.name

    assert chosen("task=adding") == ("none", "none")
    assert chosen("task=adding", "dataset=sotu") == ("sotu", "none")
    assert chosen("experiment=e") == ("none", "none")
    assert chosen("experiment=f") == ("sotu_full", "none")
    assert chosen("experiment=e", "tokenizer=byte") == ("none", "byte")


def test_one_of_our_cells_by_its_target_is_the_choice_that_builds_it() -> None:
    target = "cell._target_=unrolled.cells.slstm.SLSTM"
    assert compose_run([target, "cell.heads=2"]) == compose_run(["cell=slstm", "cell.heads=2"])
    swept = plan(["cell._target_=my_cells.A,unrolled.cells.lstm.LSTM"], multirun=True)
    assert [config.cell.name for config in swept.configs] == ["A", "lstm"]


def test_whole_numbers_may_be_written_with_an_exponent() -> None:
    config = compose_run(["trainer.max_steps=1e3", "cell=slstm", "cell.heads=2e0"])
    assert (config.trainer.max_steps, config.cell.heads) == (1000, 2)
    assert type(config.trainer.max_steps) is type(config.cell.heads) is int
    swept = plan(["trainer.max_steps=1e2,2e2"], multirun=True)
    assert [config.trainer.max_steps for config in swept.configs] == [100, 200]
    evaluated = apply_overrides(compose_run(), ["task.evaluation_batch_size=1e1"])
    assert evaluated.task.evaluation_batch_size == 10


def test_a_whole_number_for_a_fraction_is_a_fraction() -> None:
    config = compose_run(
        ["cell=irnn", "cell.scale=2", "optimizer.lr=1", "optimizer.betas=[0,0.9]"]
    )
    for value in (config.cell.scale, config.optimizer.lr, config.optimizer.betas[0]):
        assert type(value) is float


def test_a_key_of_another_sweeper_is_named() -> None:
    with pytest.raises(ConfigError, match=r"experiment/every_cell.* Key 'n_trials' not in"):
        plan(["experiment=every_cell", "hydra/sweeper=basic"])


def test_hydra_s_free_nodes_take_new_keys() -> None:
    planned = plan(["+hydra.job.env_set.NAME=value"])
    assert planned.hydra.job.env_set.NAME == "value"


def test_stored_configurations_take_known_keys_of_the_same_type() -> None:
    stored = plain(compose_run())
    changed = apply_overrides(stored, ["task.evaluation_batch_size=4", "optimizer.lr=1"])
    assert changed.task.evaluation_batch_size == 4
    assert stored.task.evaluation_batch_size == 1
    assert OmegaConf.is_struct(changed)
    with pytest.raises(ConfigError, match=r"did you mean task\.evaluation_batch_size"):
        apply_overrides(stored, ["task.evaluation_batchsize=4"])
    with pytest.raises(ConfigError, match=r"task\.batch_size=many: must be int"):
        apply_overrides(stored, ["task.batch_size=many"])


@pytest.mark.parametrize(
    ("overrides", "beginning"),
    [
        ([], "874e182f4374"),
        (["cell=irnn", "cell.scale=2"], "2778e045ece3"),
        (["cell=lru", "cell.r_min=0", "cell.activation=none"], "b88837f57076"),
        (["optimizer.betas=[0,0.9]"], "5748d84033d8"),
        (["tokenizer=word", "tokenizer.vocabulary_size=500", "tokenizer.punctuation=split",
          "tokenizer.lowercase=true"], "3fb9cfb5e7e7"),
        (["scheduler=plateau", "scheduler.factor=0.5", "scheduler.minimum_lr=0"], "33f53b429ca3"),
    ],
)  # fmt: skip
def test_runs_are_the_same_runs_as_in_the_first_versions(
    overrides: list[str], beginning: str
) -> None:
    # They had no other precision by default.
    config = compose_run([*overrides, "trainer.precision=fp32"])
    assert identity(config, "f").startswith(beginning)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("folds=1", "folds=1: must be at least 2"),
        ("folds=null", "folds=null: validation=kfold needs it"),
        ("validation.holds_out=null", "validation.holds_out=null: validation=kfold needs it"),
        ("validation.holds_out=train", "must be test or validation"),
        ("fold=5", r"fold=5: the folds are 0 to 4 \(folds=5\)"),
        ("fold=-1", "fold=-1: must be at least 0"),
    ],
)
def test_folds_that_cannot_be_are_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose_run(["validation=kfold", override])


def test_cross_validation_has_five_folds_unless_told_otherwise() -> None:
    config = compose_run(["validation=kfold"])
    assert (config.folds, config.fold, config.validation.holds_out) == (5, None, "test")
    assert compose_run(["folds=10", "validation=kfold"]).folds == 10

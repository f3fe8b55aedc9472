import pytest
from omegaconf import OmegaConf

from unrolled.config.compose import apply_overrides, compose_run
from unrolled.config.schema import Backend
from unrolled.errors import ConfigError, UnrolledError
from unrolled.runs.identity import plain
from unrolled.sweeps.expansion import plan


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
        ("dataset.path=x.txt", "path belongs to dataset=text, splits, hub"),
        ("scheduler.factor=0.5", "factor belongs to scheduler=exponential, step, plateau"),
        ("model.layers=two", "could not be converted to Integer"),
        ("seed=1.5", "could not be converted to Integer"),
        ("trainer.precision=fp16", "expected one of [fp32, bf16]"),
        ("cell.backend=fast", "expected one of [auto, native, eager, compiled, scan]"),
        ("dataset=text", "dataset.path is needed"),
        ("model.dropout=1.0", "below 1"),
        ("model.layers=0", "at least 1"),
        ("seed=-1", "at least 0"),
        ("optimizer.lr=-1", "above 0"),
        ("optimizer.lr=nan", "must be a number"),
        ("trainer.gradient_clip=0", "above 0"),
        ("optimizer.betas=[2,3]", "below 1"),
        ("trainer.max_steps=null", "would never end"),
        ("trainer.profiler=deep", "simple, advanced or null"),
        ("study=a/b", "without a slash"),
        ("seed=1,2", "add -m"),
        ("model.layers", "cannot read an override"),
        ("hydra/launcher=lokal", "did you mean local?"),
        ("hydra.jb.chdir=true", "jb"),
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


def test_group_choices_of_a_folder_of_ones_own(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path)) / "conf" / "cell"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: mine\n_target_: my_cells.Mine\nbackend: auto\nk: 3\n")
    config = plan(["cell=mine"], config_dir=str(folder.parent)).configs[0]
    assert (config.cell.name, config.cell.k) == ("mine", 3)
    with pytest.raises(ConfigError, match="no such folder"):
        plan([], config_dir="nowhere")


def test_a_cell_of_ones_own_by_its_target_with_hyperparameters() -> None:
    config = compose_run(["cell._target_=my_cells.MyCell", "+cell.slope=0.5"])
    assert config.cell == {
        "name": "MyCell", "_target_": "my_cells.MyCell", "backend": Backend.auto, "slope": 0.5
    }  # fmt: skip
    named = compose_run(["cell._target_=my_cells.MyCell", "cell.name=mine"])
    assert named.cell.name == "mine"
    # A choice that is typed keeps its options.
    lstm = compose_run(["cell=lstm", "cell._target_=my_cells.MyLSTM"])
    assert "projection_size" in lstm.cell
    with pytest.raises(ConfigError, match=r"cell\._target_ is needed"):
        compose_run(["cell=custom"])


def test_stored_configurations_take_known_keys_of_the_same_type() -> None:
    stored = plain(compose_run())
    changed = apply_overrides(stored, ["task.evaluation_batch_size=4", "optimizer.lr=1"])
    assert changed.task.evaluation_batch_size == 4
    assert stored.task.evaluation_batch_size == 1
    assert OmegaConf.is_struct(changed)
    with pytest.raises(ConfigError, match=r"did you mean task\.evaluation_batch_size"):
        apply_overrides(stored, ["task.evaluation_batchsize=4"])
    with pytest.raises(ConfigError, match="could not be converted to Integer"):
        apply_overrides(stored, ["task.batch_size=many"])

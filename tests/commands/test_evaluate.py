import json
import pickle
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.cli import main
from unrolled.commands.evaluate import evaluate, print_evaluation
from unrolled.config.stored import ADDED
from unrolled.errors import ConfigError, DataError, DeviceError, RunError
from unrolled.runs.record import read_record
from unrolled.training import precision


def test_a_finished_run_has_exactly_its_recorded_figures(trained: Path) -> None:
    evaluation = evaluate(trained)
    assert evaluation.metrics == read_record(trained).metrics
    assert evaluation.identical
    assert evaluation.same_data


def test_a_run_in_bf16_asks_for_fp32_where_the_processor_has_none(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    content = json.loads((copy / "record.json").read_text("utf-8"))
    content["model"]["precision"] = "bf16"
    (copy / "record.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(precision, "has_bf16", lambda accelerator: False)
    with pytest.raises(DeviceError, match=r"is in bf16.* the cpu .*trainer\.precision=fp32"):
        evaluate(copy)
    metrics = evaluate(copy, ["trainer.precision=fp32"]).metrics
    assert metrics == read_record(trained).metrics


@pytest.mark.parametrize("length", [1, 7, 35, 1000])
def test_perplexity_does_not_depend_on_the_chunks_of_evaluation(
    trained: Path, length: int
) -> None:
    recorded = read_record(trained).metrics["test/perplexity"]
    overrides = [f"task.evaluation_sequence_length={length}"]
    evaluation = evaluate(trained, overrides, splits=["test"])
    assert evaluation.metrics["test/perplexity"] == pytest.approx(recorded, rel=1e-6)


def test_streams_that_warm_up_have_the_figures_of_one_stream(trained: Path) -> None:
    recorded = read_record(trained).metrics["test/perplexity"]
    cold, warm = (
        evaluate(
            trained,
            ["task.evaluation_batch_size=7", f"task.evaluation_warm_up={tokens}"],
            splits=["test"],
        ).metrics["test/perplexity"]
        for tokens in (0, 100)
    )
    assert abs(warm - recorded) < 1e-5 * recorded < abs(cold - recorded)


def test_every_token_counts_however_many_streams(trained: Path) -> None:
    # More streams lose context, so the figure differs a little; a dropped or doubled token, or a
    # mean of batches' perplexities, would show as more.
    recorded = read_record(trained).metrics["test/perplexity"]
    evaluation = evaluate(trained, ["task.evaluation_batch_size=7"], splits=["test"])
    assert evaluation.metrics["test/perplexity"] == pytest.approx(recorded, rel=0.05)
    assert evaluation.metrics["test/perplexity"] != recorded


def test_other_data_is_read_with_the_run_s_own_vocabulary(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the dog ran over the hill.\n" * 30, encoding="utf-8")
    evaluation = evaluate(trained, ["dataset=text", f"dataset.path={other}"])
    assert not evaluation.same_data
    assert not evaluation.identical
    assert evaluation.recorded == {}
    shorter = evaluate(trained, [f"dataset.path={other}"])
    assert shorter.metrics == evaluation.metrics
    other.write_text("ЖЖЖЖ\n" * 100, encoding="utf-8")
    with pytest.raises(DataError, match="covers nothing"):
        evaluate(trained, [f"dataset.path={other}"])


def test_the_training_split_can_be_evaluated_too(trained: Path) -> None:
    metrics = evaluate(trained, splits=["train"]).metrics
    assert metrics["train/loss"] > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden_size=3", "does not change it"),
        ("task.evaluation_batchsize=3", "does not change it"),
        ("trainer.threads=many", "trainer.threads"),
        ("trainer.precision=fp16", "must be auto or fp32 or bf16"),
        ("trainer.accelerator=tpu", "must be cpu or gpu"),
        ("dataset.path=a,b", "this takes one"),
        ("dataset.path=a b[", "in quotes"),
        ("task.evaluation_batch_size=0", "at least 1"),
    ],
)
def test_what_an_evaluation_cannot_change(trained: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(trained, [override])


def test_folders_that_hold_no_trained_run(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        evaluate(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"no record\.json"):
        evaluate(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "checkpoints" / "best.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"best\.ckpt: damaged"):
        evaluate(copy)
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(RunError, match=r"tokenizer\.json: .*damaged"):
        evaluate(copy)
    (copy / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(RunError, match="no such checkpoint"):
        evaluate(copy)
    record = json.loads((copy / "record.json").read_text())
    record["config"] = {"cell": {"name": "lstm"}}
    (copy / "record.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="configuration cannot be used: study is missing"):
        evaluate(copy)


def test_a_run_of_the_first_version_is_read_as_it_was(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    record = json.loads((copy / "record.json").read_text())
    for key in ADDED:
        group, _, name = key.rpartition(".")
        del (record["config"][group] if group else record["config"])[name]
    (copy / "record.json").write_text(json.dumps(record))
    assert evaluate(copy).metrics == record["metrics"]


def test_the_width_is_the_record_s_and_not_solved_anew(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    record = json.loads((copy / "record.json").read_text())
    record["config"]["budget"]["parameters"] = 12_345_678
    (copy / "record.json").write_text(json.dumps(record))
    assert evaluate(copy).metrics == record["metrics"]


def test_a_changed_tokenizer_is_named_as_the_reason(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["tokenizer"]["model"]["vocab"]
    vocabulary["a"], vocabulary["t"] = vocabulary["t"], vocabulary["a"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert main(["evaluate", str(copy)]) == 1
    printed = capsys.readouterr().out
    assert "not the recorded figures" in printed
    causes = [line for line in printed.splitlines() if line.startswith("data.")]
    assert [line.partition(":")[0] for line in causes] == ["data.tokenizer_fingerprint"]
    assert main(["evaluate", str(trained)]) == 0


def test_a_best_checkpoint_that_is_gone_or_a_pickle_says_so(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    best = copy / "checkpoints" / "best.ckpt"
    best.write_bytes(pickle.dumps({"state_dict": {}, "global_step": 1}))
    with pytest.raises(RunError, match=r"best\.ckpt: it holds Python objects .* not read"):
        evaluate(copy)
    best.unlink()
    with pytest.raises(RunError, match=r"best\.ckpt: no such checkpoint.*or the file was removed"):
        evaluate(copy)


def test_a_stored_configuration_runs_no_code_of_others(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    record = json.loads((copy / "record.json").read_text())
    stored = json.dumps(record)
    record["config"]["cell"]["_target_"] = "their_cells.Cell"
    (copy / "record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="--trust their_cells"):
        evaluate(copy)
    record = json.loads(stored)
    record["config"]["dataset"]["_target_"] = "their_data.load"
    (copy / "record.json").write_text(json.dumps(record))
    for overrides in ([], ["trainer.threads=1"], ["dataset.encoding=utf-8"]):
        with pytest.raises(ConfigError, match="--trust their_data"):
            evaluate(copy, overrides)


def test_the_printed_figures_are_the_metrics(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = evaluate(trained, splits=["test"])
    print_evaluation(evaluation, Console(width=100))
    printed = capsys.readouterr().out
    assert f"{evaluation.metrics['test/perplexity']:.6f}" in printed
    assert "exactly the recorded figures" in printed
    print_evaluation(evaluation, Console(), as_json=True)
    assert json.loads(capsys.readouterr().out)["metrics"] == evaluation.metrics

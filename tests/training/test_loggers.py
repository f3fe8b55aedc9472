"""What TensorBoard and the CSV file hold of a run."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from unrolled.runs.record import read_record
from unrolled.training.run import run


@pytest.fixture(scope="module")
def events(trained: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(trained), size_guidance={"tensors": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def test_curves_of_training_and_validation(events: EventAccumulator, trained: Path) -> None:
    tags = set(events.Tags()["scalars"])
    names = ("loss", "perplexity", "bits_per_character", "accuracy")
    assert {f"{split}/{n}" for split in ("train", "validation") for n in names} <= tags
    assert {"optimizer/lr", "optimizer/gradient_norm", "validation/f1_macro"} <= tags
    history = read_record(trained).history
    curve = events.Scalars("validation/perplexity")
    assert [point.step for point in curve] == [entry["step"] for entry in history]
    assert [point.value for point in curve] == pytest.approx(
        [entry["validation/perplexity"] for entry in history]
    )
    assert [point.step for point in events.Scalars("train/loss")] == list(range(5, 61, 5))


def test_a_sample_at_each_validation(events: EventAccumulator, trained: Path) -> None:
    samples = events.Tensors("samples/text_summary")
    assert [sample.step for sample in samples] == [10, 20, 30, 40, 50, 60]
    texts = (trained / "samples.txt").read_text().split("--- step ")[1:]
    assert len(texts) == 6
    assert texts[0].splitlines()[0] == "10"


def test_the_hparams_page_has_the_run_with_its_final_metrics(
    events: EventAccumulator, trained: Path
) -> None:
    metadata = events.summary_metadata["_hparams_/session_start_info"]
    content = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    values = content.session_start_info.hparams
    assert values["cell.name"].string_value == "lstm"
    assert values["seed"].number_value == 1
    experiment = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    infos = plugin_data_pb2.HParamsPluginData.FromString(experiment).experiment.metric_infos
    record = read_record(trained)
    for info in infos:
        split, _, name = info.name.tag.removeprefix("values_at_best/").partition("_")
        assert events.Scalars(info.name.tag)[-1].value == pytest.approx(
            record.metrics[f"{split}/{name}"]
        )
    assert "values_at_best/test_perplexity" in {info.name.tag for info in infos}


def test_the_curves_come_first_and_single_values_last(events: EventAccumulator) -> None:
    """TensorBoard shows groups of tags in the order of their names."""
    groups = sorted({tag.partition("/")[0] for tag in events.Tags()["scalars"]})
    assert groups == ["optimizer", "train", "validation", "values_at_best"]


def test_the_csv_file_has_the_curves(trained: Path) -> None:
    with (trained / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(r["validation/perplexity"]) for r in rows if r["validation/perplexity"]]
    history = read_record(trained).history
    assert values == pytest.approx([entry["validation/perplexity"] for entry in history])


def test_what_a_sweep_varies_is_a_hyperparameter_too(
    configure: Callable[..., DictConfig],
) -> None:
    folder = run(
        configure("name_by=[cell.name,seed,task.sequence_length,model]", "trainer.max_steps=2")
    ).folder
    accumulator = EventAccumulator(str(folder)).Reload()
    metadata = accumulator.summary_metadata["_hparams_/session_start_info"]
    content = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    values = content.session_start_info.hparams
    assert values["task.sequence_length"].number_value == 16
    assert values["model"].string_value == "small"


@pytest.mark.parametrize(
    ("logger", "events", "table"),
    [("tensorboard", True, False), ("csv", False, True), ("none", False, False)],
)
def test_the_choice_of_loggers(
    configure: Callable[..., DictConfig], logger: str, events: bool, table: bool
) -> None:
    folder = run(configure(f"logger={logger}", "trainer.max_steps=2")).folder
    assert folder is not None
    assert bool(list(folder.glob("events.out.*"))) is events
    assert (folder / "metrics.csv").exists() is table
    assert read_record(folder).history

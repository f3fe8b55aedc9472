"""What TensorBoard reads of a comparison."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from unrolled.comparison.report import compare
from unrolled.comparison.tensorboard import write_tensorboard

Make = Callable[..., Path]


def read(folder: Path) -> Any:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def runs(study: Path) -> dict[str, Any]:
    return {path.name: read(path) for path in (study / "comparison/tensorboard").iterdir()}


def scalars(events: Any, tag: str) -> dict[int, float]:
    return {scalar.step: scalar.value for scalar in events.Scalars(tag)}


def layout_of(events: Any) -> Any:
    (event,) = events.Tensors(metadata.CONFIG_SUMMARY_TAG)
    return layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])


def test_a_rows_mean_and_band_are_a_run_beside_its_runs(make_runs: Make) -> None:
    make_runs("gru", [7.0])
    study = make_runs("lstm", [5.0, 5.5, 6.3])
    compare([study])
    found = runs(study)
    assert found.keys() == {"comparison", "mean of lstm", "mean of gru"}
    lstm = found["mean of lstm"]
    for step in range(100, 1001, 100):
        factor = 1 + 200 / step
        for tag, value in {
            "validation/perplexity": 5.6,
            "validation_band/perplexity_mean": 5.6,
            "validation_band/perplexity_lowest": 5.0,
            "validation_band/perplexity_highest": 6.3,
        }.items():
            assert scalars(lstm, tag)[step] == pytest.approx(value * factor)
    # The time axis is that of training.
    first, *_, last = lstm.Scalars("validation/perplexity")
    assert last.wall_time - first.wall_time == pytest.approx(900 * 0.02)


def test_the_mean_ends_with_the_shortest_run(make_run: Make) -> None:
    entries = [{"step": step, "validation/perplexity": 9.0 - step} for step in (1, 2, 3)]
    make_run("lstm", 1, history=entries)
    study = make_run("lstm", 2, history=entries[:2]).parent
    compare([study])
    assert scalars(runs(study)["mean of lstm"], "validation/perplexity") == {1: 8.0, 2: 7.0}


def test_the_custom_scalars_lay_the_rows_over_one_another(make_runs: Make) -> None:
    make_runs("gru", [7.0, 7.1])
    study = make_runs("lstm", [5.0, 5.5])
    compare([study])
    found = runs(study)
    first = layout_of(found["comparison"]).category[0]
    assert first.title == "validation perplexity"
    band, every = first.chart
    (series,) = band.margin.series
    for row in ("mean of lstm", "mean of gru"):
        tags = found[row].Tags()["scalars"]
        assert {series.value, series.lower, series.upper} <= set(tags)
        (pattern,) = every.multiline.tag
        assert [tag for tag in tags if re.search(pattern, tag)] == ["validation/perplexity"]


def test_the_metric_of_the_comparison_comes_first(make_run: Make) -> None:
    entries = [{"step": 1, "validation/loss": 1.0, "validation/accuracy": 0.5, "train/loss": 2.0}]
    study = make_run("lstm", 1, history=entries).parent
    compare([study], metric="accuracy")
    layout = layout_of(runs(study)["comparison"])
    assert [category.title for category in layout.category] == [
        "validation accuracy",
        "other metrics",
    ]
    assert layout.category[1].chart[0].title.startswith("validation loss")


def test_the_table_and_the_pictures_are_in_one_run(make_runs: Make) -> None:
    make_runs("gru", [7.0, 7.1])
    study = make_runs("lstm", [5.0, 5.5])
    comparison, written = compare([study])
    events = runs(study)["comparison"]
    (text,) = events.Tensors("comparison/report")
    assert comparison.answer in text.tensor_proto.string_val[0].decode()
    pictures = [path for path in written.files if path.suffix == ".png"]
    assert len(pictures) >= 2
    for path in pictures:
        (image,) = events.Images(f"comparison/{path.stem}")
        assert image.encoded_image_string == path.read_bytes()
        assert image.width > image.height > 0


def test_comparing_again_replaces_what_was_there(make_runs: Make) -> None:
    make_runs("gru", [7.0, 7.1])
    study = make_runs("lstm", [5.0, 5.5])
    compare([study], by=["cell.name", "seed"])
    assert len(runs(study)) == 5
    left = study / "comparison" / f".tensorboard.{2**22 + 1}.1"
    left.mkdir()
    compare([study])
    assert runs(study).keys() == {"comparison", "mean of lstm", "mean of gru"}
    assert all(len(list(path.iterdir())) == 1 for path in left.with_name("tensorboard").iterdir())
    assert not left.exists()


def test_labels_that_no_folder_could_have(make_run: Make, analysed: Make, tmp_path: Path) -> None:
    for seed, name in enumerate(["../a", "..:a", "a" * 300]):
        make_run(name, seed, folder=f"r{seed}")
    comparison: Any = analysed()
    folder = write_tensorboard(comparison, tmp_path / "there", "a table", [])
    names = {path.name for path in folder.iterdir()} - {"comparison"}
    assert len(names) == 3
    assert all(len(name) < 120 and os.sep not in name for name in names)


def test_runs_without_a_history_have_no_curves(make_run: Make) -> None:
    study = make_run("lstm", 1, history=[]).parent
    compare([study])
    found = runs(study)
    assert not found["mean of lstm"].Tags()["scalars"]
    assert metadata.CONFIG_SUMMARY_TAG not in found["comparison"].Tags()["tensors"]


def test_the_means_begin_before_all_runs_in_the_order_of_the_rows(make_runs: Make) -> None:
    make_runs("gru", [7.0, 7.1])
    study = make_runs("lstm", [5.0, 5.5])
    compare([study])
    found = runs(study)
    began = 1767323045  # of every fake run
    times = [found[name].FirstEventTimestamp() for name in ("mean of lstm", "mean of gru")]
    assert times == [began - 2, began - 1]

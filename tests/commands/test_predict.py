"""Answers for new data: from a file or standard input, in its order, as CSV or JSON lines."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unrolled.cli import main
from unrolled.config.compose import compose_run
from unrolled.training.run import run

GOOD, BAD = "a fine and bright day .", "a dull and cold evening ."
TINY = [
    *("task=classification", "model.embedding_size=8", "model.hidden_size=12"),
    *("task.batch_size=8", "trainer.max_steps=40", "trainer.validate_every_steps=20"),
    "optimizer.lr=0.03",
]
STEPS = pl.DataFrame(
    np.random.default_rng(0).normal(5, 2, (67, 4)), schema=["x1", "x2", "x3", "x4"]
).with_columns(total=pl.sum_horizontal("^x.$"), first=100 * pl.col("x1"))
YEARS = np.arange(60)
SERIES = pl.DataFrame(
    {"year": 1900 + YEARS, "heat": 20 + 3 * np.sin(YEARS / 2), "wind": np.cos(YEARS / 3)}
)


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "r.pos").write_text(f"{GOOD}\n" * 60, encoding="utf-8")
    (folder / "r.neg").write_text(f"{BAD}\n" * 60, encoding="utf-8")
    data = ["dataset=polarity", f"dataset.path={folder}"]
    outcome = run(compose_run([*TINY, *data, f"paths.outputs={folder}/outputs"]))
    assert outcome.folder is not None
    return outcome.folder


@pytest.fixture(scope="module")
def of_numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    data = ["dataset=digits", "dataset.rows=true", f"paths.outputs={folder}/outputs"]
    outcome = run(compose_run([*TINY, *data]))
    assert outcome.folder is not None
    return outcome.folder


@pytest.fixture(scope="module")
def of_values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of regression: from four steps of one number to two values."""
    folder = tmp_path_factory.mktemp("values")
    STEPS[:60].write_csv(folder / "train.csv")
    STEPS[60:].write_csv(folder / "test.csv")
    outcome = run(
        compose_run([
            "task=regression", "task.evaluation_batch_size=3", *TINY[1:], "dataset=table",
            f"dataset.path={folder}/train.csv", f"dataset.test_path={folder}/test.csv",
            "dataset.features=x*", "dataset.targets=[total,first]",
            f"paths.outputs={folder}/outputs",
        ])
    )  # fmt: skip
    assert outcome.folder is not None
    return outcome.folder


@pytest.fixture(scope="module")
def of_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forecasting: from 5 years of two variables to the next 3 of one."""
    path = tmp_path_factory.mktemp("series") / "series.csv"
    SERIES.write_csv(path)
    options = ["task=forecasting", *TINY[1:], "dataset=series", f"dataset.path={path}"]
    options += ["dataset.time=year", "dataset.targets=[heat]", "task.window=5", "task.horizon=3"]
    outcome = run(compose_run([*options, f"paths.outputs={path.parent}/outputs"]))
    assert outcome.folder is not None
    return outcome.folder


def test_lines_of_text_are_classified_in_their_order(
    of_texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [GOOD, BAD, f"{GOOD} {GOOD} a day", "dull", GOOD]
    Path("new.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["predict", str(of_texts), "new.txt"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["predicted"] for row in rows][:2] == ["positive", "negative"]
    assert rows[0]["p(positive)"] == rows[4]["p(positive)"]
    for row in rows:
        shares = {name: float(row[f"p({name})"]) for name in ("negative", "positive")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(shares, key=lambda name: shares[name])


def test_standard_input_and_json_lines(
    of_texts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{BAD}\n{GOOD}\n".encode())))
    assert main(["predict", str(of_texts), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["predicted"] for row in rows] == ["negative", "positive"]


def test_a_file_is_written_whole(of_texts: Path) -> None:
    Path("new.txt").write_text(f"{GOOD}\n", encoding="utf-8")
    assert main(["predict", str(of_texts), "new.txt", "--output", "out/answers.csv"]) == 0
    assert Path("out/answers.csv").read_text(encoding="utf-8").startswith("row,predicted,p(neg")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_s_column_is_classified(
    ending: str, of_texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.DataFrame({"number": [1, 2], "text": [BAD, GOOD]})
    write: dict[str, Callable[[str], object]] = {
        "csv": table.write_csv,
        "tsv": lambda path: table.write_csv(path, separator="\t"),
        "jsonl": table.write_ndjson,
        "parquet": table.write_parquet,
    }
    write[ending](f"new.{ending}")
    assert main(["predict", str(of_texts), f"new.{ending}", "--column", "text"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["predicted"] for row in rows] == ["negative", "positive"]
    assert main(["predict", str(of_texts), f"new.{ending}", "--column", "txt"]) == 2
    assert "text" in capsys.readouterr().err


def test_sequences_of_numbers_are_json_lines(
    of_numbers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images[:3] / 16
    lines = [json.dumps(image.tolist()) for image in images]
    Path("new.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert main(["predict", str(of_numbers), "new.jsonl"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    shares = np.array([[float(row[f"p({digit})"]) for digit in range(10)] for row in rows])
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    assert [int(row["predicted"]) for row in rows] == shares.argmax(1).tolist()


def test_values_are_those_that_the_run_left(
    of_values: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(row) for row in STEPS[60:].select("^x.$").rows()]
    Path("new.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert main(["predict", str(of_values), "new.jsonl", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    left = pl.read_csv(of_values / "predictions.csv")
    assert left["target"][:2].to_list() == ["total", "first"]
    found = [row[target] for row in rows for target in ("total", "first")]
    np.testing.assert_allclose(found, left["predicted"], rtol=1e-5)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "txt", "jsonl", "parquet"])
def test_a_forecast_is_the_one_that_the_run_left(
    ending: str, of_series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The last window of the test split.
    known, path = SERIES[:-3], f"new.{ending}"
    write: dict[str, Callable[[str], object]] = {
        "csv": known.write_csv,
        "csv.gz": lambda path: Path(path).write_bytes(gzip.compress(known.write_csv().encode())),
        "txt": lambda path: known.write_csv(path, separator="\t"),
        "jsonl": known.write_ndjson,
        "parquet": known.write_parquet,
    }
    write[ending](path)
    assert main(["predict", str(of_series), path, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    left = pl.read_csv(of_series / "predictions.csv")[-3:]
    assert left["known_until"].to_list() == [1956] * 3
    np.testing.assert_allclose([row["heat"] for row in rows], left["predicted"], rtol=1e-5)


def test_a_series_on_standard_input_is_followed_by_the_horizon(
    of_series: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SERIES.write_csv("new.csv")
    assert main(["predict", str(of_series), "new.csv"]) == 0
    written = capsys.readouterr().out
    assert [line.split(",")[0] for line in written.splitlines()] == ["step", "1", "2", "3"]
    assert written.startswith("step,heat\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SERIES.write_csv().encode())))
    assert main(["predict", str(of_series), "-"]) == 0
    assert capsys.readouterr().out == written


@pytest.mark.parametrize(
    ("name", "new", "said"),
    [
        ("new.csv", SERIES[:4], "new.csv: 4 steps are too few for a forecast: the model reads 5"),
        ("new.xlsx", SERIES, "new.xlsx: a table's name ends in .csv, .tsv"),
        (
            "new.csv",
            SERIES.rename({"wind": "winds"}),
            "new.csv has no such column; did you mean winds?",
        ),
        ("new.csv", SERIES.rename({"year": "when"}), "=year: new.csv has no such column"),
        ("new.csv", SERIES.with_columns(wind=pl.lit("x")), "new.csv, line 2: wind is 'x', no"),
        ("-", SERIES[:4], "standard input: 4 steps are too few"),
        ("-", SERIES.with_columns(wind=None), "standard input, line 2: wind has no value"),
    ],
)
def test_a_series_that_the_model_cannot_read_is_one_sentence(
    name: str,
    new: pl.DataFrame,
    said: str,
    of_series: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = new.write_csv().encode()
    Path(name).write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["predict", str(of_series), name]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "new.txt: empty"),
        (b"fine\n\nday\n", "new.txt, line 2: empty"),
        (b"fine\nbright \xe9\n", "new.txt, line 2: byte 8 of it is not utf-8; convert"),
    ],
)
def test_what_is_no_text_is_one_sentence(
    content: bytes, said: str, of_texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("new.txt").write_bytes(content)
    assert main(["predict", str(of_texts), "new.txt"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[[1, 2]]", "its shape is [1, 2], and the model reads [steps, 8]"),
        ("hello", "line 1: not a list of steps"),
        ("[[1, 2, 3, 4, 5, 6, 7, NaN]]", "not finite"),
    ],
)
def test_what_is_no_sequence_is_one_sentence(
    line: str, said: str, of_numbers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("new.jsonl").write_text(line, encoding="utf-8")
    assert main(["predict", str(of_numbers), "new.jsonl"]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_file_and_a_task_without_answers_are_said(
    of_texts: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(of_texts), "none.txt"]) == 2
    assert "none.txt" in capsys.readouterr().err
    assert main(["predict", str(of_texts), "."]) == 2
    assert "." in capsys.readouterr().err
    Path("new.txt").write_text("x\n", encoding="utf-8")
    assert main(["predict", str(trained), "new.txt"]) == 2
    assert "predicts nothing for new data" in capsys.readouterr().err

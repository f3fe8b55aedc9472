"""Answers for new data: from a file or standard input, in its order, as CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
    import polars

    table = polars.DataFrame({"number": [1, 2], "text": [BAD, GOOD]})
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

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


def test_a_text_has_the_vocabulary_and_the_size_that_are_asked_for(tmp_path: Path) -> None:
    from benchmarks.peers.corpus import Corpus
    from benchmarks.scale import QUICK, write_text

    write_text(tmp_path, replace(QUICK, vocabulary=100, corpus=3_000))
    corpus = Corpus(tmp_path, "word")
    assert len(corpus.ids) == 100
    # An end of sentence after each twenty words.
    assert len(corpus.train) == 3_000 + 150


def test_growth_is_the_exponent_between_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import scale

    seen: list[int] = []

    def measure(setting: Any, threads: int) -> dict[str, Any]:
        seen.append(setting.width)
        return {"seconds_per_token": setting.width**1.5, "peak_bytes": 1}

    monkeypatch.setattr(scale, "measure", measure)
    options = argparse.Namespace(repeats=2, threads=1)
    rows = scale.measure_axis("width", (64, 128, 512), scale.Setting(), options)
    # In turns, so that a machine that slows down slows every value down.
    assert seen == [64, 128, 512] * 2
    assert rows[0]["growth"] is None
    assert [row["growth"] for row in rows[1:]] == pytest.approx([1.5, 1.5])


def test_the_command_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.peers.process import Watched

    from benchmarks import scale

    trained: list[Any] = []

    def train(one: Any, job: Any, threads: int, cache: Path) -> dict[str, Any]:
        trained.append(job)
        assert (Path(job.folder) / "train.txt").is_file()
        figures = {"tokens_per_second": 4.0, "start_seconds": 1.5, "total_seconds": 2.0}
        return {**figures, "peak_bytes": 10}

    def sweep(job_of: Any, runs: int, folder: Path, cache: Path) -> list[Watched]:
        trained.append(job_of(1))
        return [Watched(0.0, 2.0 * runs, 30)]

    monkeypatch.setattr(scale, "train", train)
    monkeypatch.setattr(scale, "by_unrolled", sweep)
    output = tmp_path / "scale.json"
    scale.main(["--quick", "--axes", "vocabulary,runs", "--repeats", "1", "--output", str(output)])
    rows = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert [(row["axis"], row["value"]) for row in rows] == [
        *(("vocabulary", 20), ("vocabulary", 50)),
        *(("runs", 1), ("runs", 2)),
    ]
    assert len(trained) == 4
    assert rows[1]["seconds_per_token"] == 0.25
    assert (rows[1]["growth"], rows[3]["growth"]) == (0.0, 1.0)
    assert output.with_suffix(".png").stat().st_size > 5000
    assert "total_seconds" in capsys.readouterr().out


def test_an_unknown_axis_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.scale import main

    with pytest.raises(SystemExit):
        main(["--axes", "widht"])
    assert "--axes widht: choose from vocabulary," in capsys.readouterr().err

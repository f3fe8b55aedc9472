"""TF-IDF with logistic regression on a study's own splits: what it prints, what it refuses."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def write(labels: str) -> list[str]:
    """A table of texts, each with a word of its own class, and what reads it."""
    rows = [f"{label}word and number {place},{label}" for place, label in enumerate(labels)]
    Path("texts.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return ["task=classification", "dataset=table", "dataset.path=texts.csv"]


def test_each_fold_is_fitted_anew(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.tfidf import main

    given = [*write("ab" * 30), "dataset.text=text", "dataset.label=label"]
    assert main([*given, "validation=kfold", "folds=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["fold", str(k)] for k in range(3)]
    assert lines[3].split() == ["mean", "validation", "1.0000", "test", "1.0000"]


def test_labels_that_texts_do_not_tell_are_not_learned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is fitted reads the training split alone: labels at random stay at chance."""
    from benchmarks.tfidf import main

    write("ab" * 100)
    table = Path("texts.csv").read_text(encoding="utf-8")
    same = table.replace("aword", "word").replace("bword", "word")
    Path("texts.csv").write_text(same, encoding="utf-8")
    given = ["task=classification", "dataset=table", "dataset.path=texts.csv"]
    assert main([*given, "dataset.text=text", "dataset.label=label"]) == 0
    test = float(capsys.readouterr().out.split()[3])
    assert 0.2 < test < 0.8


def test_what_has_no_texts_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.tfidf import main

    assert main(["task=classification", "dataset=digits"]) == 2
    assert "no texts with classes" in capsys.readouterr().err

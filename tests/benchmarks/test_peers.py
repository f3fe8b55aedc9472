"""The benchmark against peers: equal learning, figures, files, the command."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unrolled.cli import main as unrolled
from unrolled.runs.record import find_runs, read_record

ROOT = Path(__file__).parents[2]
CELLS = ("rnn_tanh", "lstm", "gru", "min_gru", "mgu")


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[[str], Any]:
    """A tiny job of a cell, on prepared words."""
    from benchmarks.peers.texts import prepare
    from benchmarks.peers.works import WORKS

    folder = tmp_path / "text"
    prepare("words", folder, limit=6000)

    def job(cell: str) -> Any:
        work = replace(WORKS["words-lstm-2x200"], cell=cell, embedding=8, hidden=12, batch=4)
        return replace(work, length=8, steps=60, parts=3, lr=1.0).job(folder, 1, "cpu")

    return job


def run_script(job: Any, folder: Path) -> dict[str, Any]:
    from benchmarks.peers import plain

    return reported(plain.main, job, folder / "plain.json")


def reported(main: Callable[[Any, Path], None], job: Any, path: Path) -> dict[str, Any]:
    main(job, path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_unrolled_trains_the_same_model_on_the_same_tokens(
    job_of: Callable[[str], Any], tmp_path: Path, cell: str
) -> None:
    from benchmarks.peers.measure import flops_per_token
    from benchmarks.peers.texts import prepare
    from benchmarks.peers.unrolled_run import overrides, reports
    from benchmarks.peers.works import WORKS

    job = job_of(cell)
    script = run_script(job, tmp_path)
    fast = ["trainer.threads=1", "logger=none", "task.ngram_order=0"]
    assert unrolled(["train", *overrides(job, tmp_path / "outputs", None), *fast]) == 0
    (own,) = reports(tmp_path / "outputs")
    vocabulary = prepare("words", tmp_path / "again", limit=6000)
    work = replace(WORKS["words-lstm-2x200"], cell=cell, embedding=8, hidden=12)
    assert own["flops_per_token"] == flops_per_token(work, vocabulary)
    assert own["parameters"] == script["parameters"]
    assert [part["step"] for part in own["parts"]] == [part["step"] for part in script["parts"]]
    for key in ("loss", "perplexity"):
        ends = [report["parts"][-1][key] for report in (own, script)]
        assert ends[0] == pytest.approx(ends[1], rel=0.1)
        assert max(ends) < script["parts"][0][key]
    record = read_record(find_runs(tmp_path / "outputs")[0])
    assert record.seed == job.seed
    seconds = [part["seconds"] for part in own["parts"]]
    assert min(seconds) > 0
    assert sum(seconds) == pytest.approx(record.history[-1]["seconds"])


def test_lightning_is_the_script_to_rounding(
    job_of: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.peers import lightning

    job = job_of("lstm")
    script = run_script(job, tmp_path)
    own = reported(lightning.main, job, tmp_path / "lightning.json")
    for key in ("step", "loss", "perplexity"):
        mine, theirs = ([part[key] for part in one["parts"]] for one in (own, script))
        assert mine == pytest.approx(theirs, rel=1e-4)
    assert own["test_perplexity"] == pytest.approx(script["test_perplexity"], rel=1e-4)
    assert own["first_step"] > script["first_step"]


@pytest.mark.parametrize("cell", ["min_gru", "mgu"])
def test_keras_has_the_same_layers_and_learns(
    job_of: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras", reason="keras is missing: pip install 'unrolled[bench]'")
    from benchmarks.peers import keras_torch

    job = job_of(cell)
    script = run_script(job, tmp_path)
    own = reported(keras_torch.main, job, tmp_path / "keras.json")
    assert own["parameters"] == script["parameters"]
    assert [part["step"] for part in own["parts"]] == [20, 40, 60]
    end = own["parts"][-1]
    assert end["loss"] == pytest.approx(script["parts"][-1]["loss"], rel=0.1)
    assert end["perplexity"] < own["parts"][0]["perplexity"]


def test_a_missing_package_leaves_its_rows_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmarks.peers.contest import CONTESTANTS

    monkeypatch.setattr("benchmarks.peers.contest.find_spec", lambda name: None)
    missing = [one.missing for one in CONTESTANTS.values() if one.missing]
    assert missing == ["keras is left out: keras is missing, pip install 'unrolled[bench]'"]


def training(seconds: float, losses: tuple[float, ...], start: float) -> dict[str, Any]:
    """What was seen of a training whose parts took so long each, ten steps a part."""
    from benchmarks.peers.contest import tokens_per_second

    parts = [
        {"step": 10 * place, "seconds": seconds, "loss": loss, "perplexity": 10 * loss}
        for place, loss in enumerate(losses, 1)
    ]
    return {
        "parts": parts,
        "tokens_per_second": tokens_per_second(parts, 100),
        "start_seconds": start,
        "peak_bytes": 1e9 / seconds,
        "parameters": 5,
        "precision": "fp32",
    }


def test_figures_are_medians_and_ratios_within_a_round() -> None:
    from benchmarks.peers.summary import summarize

    trainings = {
        "unrolled": [training(s, (3.0, 2.0, 1.0), 9.0 - s) for s in (1.0, 2.0, 5.0)],
        "script": [training(s, (3.0, 2.5, 2.0), 1.0) for s in (2.0, 4.0, 5.0)],
    }
    found = summarize(trainings, {"fp32": 12_000.0}, 2.0)
    own, script = found["unrolled"], found["script"]
    assert own["tokens_per_second"] == 500
    # 2, 2 and 1 times as fast as the script in the same round.
    assert own["speed_ratio"] == 2
    assert script["speed_ratio"] == script["memory_ratio"] == 1
    assert own["rate_share"] == 3 * 2.0 * 500 / 12_000
    assert (own["first_start_seconds"], own["start_seconds"]) == (8.0, (7.0 + 4.0) / 2)
    # Both reached a perplexity of 20: Unrolled after two parts, the script after three.
    assert own["seconds_to_target"] == 7.0 + 2 * 2.0
    assert script["seconds_to_target"] == 1.0 + 3 * 4.0
    assert summarize(trainings, {"fp32": 1.0}, 2.0, 5.0)["script"]["seconds_to_target"] is None


def test_the_first_part_warms_up() -> None:
    from benchmarks.peers.contest import tokens_per_second

    parts = [{"step": step, "seconds": s} for step, s in ((10, 50.0), (20, 5.0), (30, 2.0))]
    assert tokens_per_second(parts, 100) == (200 + 500) / 2
    assert tokens_per_second(parts[:1], 100) == 20


def test_the_texts_have_the_vocabulary_that_is_asked_for(tmp_path: Path) -> None:
    from benchmarks.peers import texts

    assert texts.prepare("characters", tmp_path / "c", limit=20_000) <= 66
    symbols = {
        symbol
        for name in ("train", "valid", "test")
        for symbol in (tmp_path / "c" / f"{name}.txt").read_text(encoding="utf-8")
    }
    assert len(symbols) <= 65
    parts = {"train": "a b b.\n\nc c c", "valid": "a c", "test": "d"}
    cut = texts._of_words(parts, 4, None, split_marks=True)
    # <unk>, <eos> and the two most frequent.
    assert cut == {"train": "<unk> b b <unk>\nc c c\n", "valid": "<unk> c\n", "test": "<unk>\n"}
    (tmp_path / "own").mkdir()
    for name in ("train", "valid", "test"):
        (tmp_path / "own" / f"my.{name}.txt").write_text("one two\n", encoding="utf-8")
    assert texts.prepare("words", tmp_path / "w", ptb=tmp_path / "own") == 4


def test_a_budget_is_met() -> None:
    from benchmarks.peers.works import WORKS

    for cell in CELLS:
        work = WORKS[f"characters-{cell}-100k"].solved(66)
        assert work.hidden != WORKS[f"characters-{cell}-100k"].hidden


def test_a_process_is_watched_with_its_children(tmp_path: Path) -> None:
    from benchmarks.peers.process import ContestantError, environment, watch

    child = "import time; block = bytearray(150_000_000); time.sleep(0.8)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    both = f"block = bytearray(100_000_000); {parent}"
    seen = watch([sys.executable, "-c", both], environment(1), tmp_path / "log")
    assert 250e6 < seen.peak_bytes < 500e6
    assert seen.seconds > 0.8
    # A child that has not loaded a program of its own holds what its parent does, once.
    forked = "pid = os.fork(); time.sleep(0.8 if pid == 0 else 0); pid and os.wait()"
    shared = f"import os, time; block = bytearray(200_000_000); {forked}"
    seen = watch([sys.executable, "-c", shared], environment(1), tmp_path / "log")
    assert 200e6 < seen.peak_bytes < 300e6
    with pytest.raises(ContestantError, match=r"exit code 1 of .*(?s:.*)no such thing"):
        watch([sys.executable, "-c", "exit('no such thing')"], environment(1), tmp_path / "log")


def test_a_new_measurement_takes_the_place_of_the_old_in_the_order_of_the_works(
    tmp_path: Path,
) -> None:
    from benchmarks.peers import results

    path = tmp_path / "new" / "peers.json"
    words, characters = "words-lstm-2x200", "characters-gru-1x256"
    for work, threads, figure in (
        ("of old", 1, "a"),
        (words, 2, "b"),
        (words, 1, "c"),
        (characters, 1, "d"),
        (words, 2, "e"),
    ):
        one = {"work": work, "threads": threads, "device": "cpu", "figure": figure}
        results.add(path, "runs", one | {"environment": machine("AVX512")})
    found = results.read(path)
    assert [one["figure"] for one in found["runs"]] == ["d", "c", "e", "a"]
    assert found["sweeps"] == []


def machine(instructions: str) -> dict[str, Any]:
    about = {"torch": "2.13", "python": "3.11", "unrolled": "0.1", "gpu": None}
    return about | {"cpu": "a processor", "instruction_set": instructions}


def test_each_machine_keeps_its_measurements_and_has_a_table_of_its_own(
    tmp_path: Path,
) -> None:
    from benchmarks.peers import results
    from benchmarks.peers.page import content

    path = tmp_path / "peers.json"
    sweep = {"work": "characters-lstm-100k", "runs": 4, "device": "cpu", "date": "2026-01-02"}
    sweep |= {name: {"seconds": 2.0, "peak_bytes": 1e6} for name in ("unrolled", "script")}
    for runs, instructions, ratio in ((4, "AVX2", 1.5), (4, "AVX512", 2.5), (8, "AVX512", 3.5)):
        own = {"runs": runs, "environment": machine(instructions), "speed_ratio": ratio}
        results.add(path, "sweeps", sweep | own)
    results.add(path, "sweeps", sweep | {"environment": machine("AVX2"), "speed_ratio": 4.5})
    first, second = content(results.read(path)).split("**a processor with AVX2**")
    assert first.startswith("**a processor with AVX512**: PyTorch 2.13, Python 3.11, unrolled 0.1")
    assert "2.5" in first and "3.5" in first and "4.5" not in first
    assert "4.5" in second and "1.5" not in second


def test_bad_input_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.peers.__main__ import main

    for arguments, said in (
        (["--only", "wrods-*"], "--only wrods-*: matches none of characters-rnn_tanh-1x256"),
        (["--repeats", "0"], "--repeats 0: at least 1"),
        (["--steps", "2"], "--steps 2: fewer than a training's parts"),
        (["--threads", "0"], "0: at least 1"),
        (["--ptb", "nowhere"], "nowhere: no such file or folder"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_measures_and_writes_table_picture_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.peers.__main__ import main
    from benchmarks.peers.page import BEGIN, END

    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    output, page = tmp_path / "peers.json", tmp_path / "performance.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    arguments = ["--quick", "--only", "characters-gru-1x256", "--repeats", "1", "--threads", "1"]
    arguments += ["--contestants", "unrolled", "script", "--sweeps", "0"]
    assert main([*arguments, "--output", str(output), "--page", str(page)]) == 0
    (run,) = json.loads(output.read_text(encoding="utf-8"))["runs"]
    own, script = run["contestants"]["unrolled"], run["contestants"]["script"]
    assert own["parameters"] == script["parameters"]
    assert own["speed_ratio"] == own["tokens_per_second"] / script["tokens_per_second"]
    assert 0 < script["start_seconds"] < script["trainings"][0]["total_seconds"]
    assert 1 < own["start_seconds"] < own["trainings"][0]["total_seconds"]
    assert own["peak_bytes"] > 100e6
    assert run["environment"]["cpu"] and run["rates"]["fp32"] > 1e9
    assert output.with_suffix(".png").stat().st_size > 5000
    written = page.read_text(encoding="utf-8")
    assert written.startswith("# Before\n") and written.endswith("\nafter\n")
    assert "old" not in written
    assert f"| {script['tokens_per_second']:,.0f} |" in written
    printed = capsys.readouterr().out
    assert "characters-gru-1x256        1  unrolled" in printed
    seconds = run["parts"]["recurrence"]
    assert f" {1000 * seconds:.1f} " in printed.split("takes most")[1]
    assert f"| {1000 * seconds:.1f} |" in written.split("| takes most |")[1]

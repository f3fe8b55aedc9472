import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from unrolled.cli import main
from unrolled.commands.generate import generate_side_by_side
from unrolled.errors import ConfigError, DataError, RunError
from unrolled.tasks.generation import Request
from unrolled.training.run import run


def text_of(*folders: Path, **options: object) -> str:
    out = io.StringIO()
    generate_side_by_side(folders, Request(**options), out)  # type: ignore[arg-type]
    return out.getvalue()


def test_the_text_goes_on_from_the_prompt(trained: Path) -> None:
    text = text_of(trained, prompt="the cat ", length=40)
    assert text.startswith("the cat ")
    assert len(text) == len("the cat ") + 40 + 1


def test_a_seed_repeats_and_another_differs(trained: Path) -> None:
    first = text_of(trained, prompt="the", length=60, seed=3)
    assert text_of(trained, prompt="the", length=60, seed=3) == first
    assert text_of(trained, prompt="the", length=60, seed=4) != first


def test_greedy_is_what_one_candidate_gives(trained: Path) -> None:
    greedy = text_of(trained, prompt="the", length=60, temperature=0.0)
    assert text_of(trained, prompt="the", length=60, top_k=1, seed=9) == greedy
    assert text_of(trained, prompt="the", length=60, top_p=1e-6, seed=9) == greedy


def test_stopping_at_a_line_s_end(trained: Path) -> None:
    text = text_of(trained, prompt="the cat", length=2000, stop=True, seed=5)
    assert text.count("\n") == 1
    assert len(text) < 2000


def test_several_runs_side_by_side(trained: Path) -> None:
    text = text_of(trained, trained, prompt="the", length=5)
    assert text.count(f"--- {trained.name} (test perplexity") == 2


def test_what_the_model_never_saw_is_named(trained: Path) -> None:
    with pytest.raises(DataError, match=r"never saw: 'Ж', 'Q'; .*--allow-unknown"):
        text_of(trained, prompt="the ЖQЖ")
    assert "the <unk>" in text_of(trained, prompt="the Ж", length=3, allow_unknown=True)


def test_a_word_model_streams_words_and_lines(configure: Callable[..., DictConfig]) -> None:
    folder = run(configure("tokenizer=word", "logger=none")).folder
    assert folder is not None
    text = text_of(folder, prompt="the cat", length=30)
    assert text.startswith("the cat ")
    with pytest.raises(DataError, match="'zebra'"):
        text_of(folder, prompt="the zebra")
    stopped = text_of(folder, prompt="the cat", length=500, stop=True)
    assert stopped.count("\n") == 1


def test_wrong_values_and_folders(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="length 0"):
        text_of(trained, length=0)
    with pytest.raises(ConfigError, match="temperature -1"):
        text_of(trained, temperature=-1.0)
    with pytest.raises(ConfigError, match="top-p 2"):
        text_of(trained, top_p=2.0)
    with pytest.raises(ConfigError, match="beams 0: must be at least 1"):
        text_of(trained, beams=0)
    with pytest.raises(RunError, match=r"no record\.json"):
        text_of(tmp_path)


@pytest.mark.parametrize("penalty", [0.9, float("inf"), float("nan")])
def test_a_penalty_that_would_reward_is_refused(trained: Path, penalty: float) -> None:
    with pytest.raises(ConfigError, match=r"repetition-penalty .*: must be at least 1"):
        text_of(trained, repetition_penalty=penalty)


Printed = pytest.CaptureFixture[str]


def generated(capsys: Printed, *arguments: object) -> str:
    assert main(["generate", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def lines_of(capsys: Printed, *arguments: object) -> list[dict[str, str]]:
    return [json.loads(line) for line in generated(capsys, *arguments, "--json").splitlines()]


def test_one_beam_is_greedy_and_four_find_other_text(trained: Path, capsys: Printed) -> None:
    options = [trained, "--prompt", "the ", "--length", 40]
    greedy = generated(capsys, *options, "--greedy")
    assert generated(capsys, *options, "--beams", 1) == greedy
    four = generated(capsys, *options, "--beams", 4)
    assert four.startswith("the ")
    assert four != greedy
    assert generated(capsys, *options, "--beams", 4, "--seed", 7) == four
    sentence = generated(capsys, *options, "--beams", 4, "--stop-at-end-of-sentence")
    assert sentence.count("\n") == 1


@pytest.mark.parametrize(
    "draw", [["--temperature", "0.8"], ["--greedy"], ["--top-k", "3"], ["--top-p", "0.5"]]
)
def test_a_search_that_is_to_draw_is_refused(
    trained: Path, draw: list[str], capsys: Printed
) -> None:
    assert main(["generate", str(trained), "--beams", "2", *draw]) == 2
    assert f"--beams and {draw[0]}: " in capsys.readouterr().err


def test_a_penalty_changes_the_text(trained: Path, capsys: Printed) -> None:
    options = [trained, "--prompt", "the", "--length", 30, "--greedy"]
    plain, unchanged, penalized = (
        generated(capsys, *options, "--repetition-penalty", penalty) for penalty in (1, 1.0, 5)
    )
    assert plain == unchanged == generated(capsys, *options)
    assert len(set(penalized)) > len(set(plain))


def test_prompts_of_a_file_come_in_its_order_each_with_every_run(
    trained: Path, capsys: Printed
) -> None:
    Path("prompts.txt").write_text("the cat\n\nthe green hills \n")
    rows = lines_of(capsys, trained, trained, "--prompts", "prompts.txt", "--length", 9)
    assert [row["prompt"] for row in rows] == [
        *("the cat", "the cat", "", "", "the green hills ", "the green hills "),
    ]
    assert {row["run"] for row in rows} == {str(trained)}
    for row in rows:
        assert row["text"].startswith(row["prompt"])
        assert len(row["text"]) == len(row["prompt"]) + 9
    printed = generated(capsys, trained, trained, "--prompts", "prompts.txt", "--length", 9)
    assert printed.startswith(f"=== 1: the cat\n--- {trained.name} (test perplexity")
    assert all(row["text"] in printed for row in rows)


@pytest.mark.parametrize("options", [[], ["--greedy"], ["--beams", "2"]])
def test_a_prompt_s_text_does_not_depend_on_the_other_prompts(
    trained: Path, options: list[str], capsys: Printed
) -> None:
    last = 40
    few, many = Path("few.txt"), Path("many.txt")
    few.write_text("the cat\n" + "a\n" * (last - 2) + "two dogs run over\n")
    many.write_text("the cat\n" + "while rain fell\n" * (last - 2) + "two dogs run over\nmore\n")
    size = ["--length", 25, *options]
    first, second = (
        [row["text"] for row in lines_of(capsys, trained, "--prompts", path, *size)]
        for path in (few, many)
    )
    assert (first[0], first[last - 1]) == (second[0], second[last - 1])
    # The draws of each place are its own.
    assert len(set(first[1 : last - 1])) == (1 if options else last - 2)


def test_prompts_are_read_from_standard_input(
    trained: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the\r\na cat")))
    rows = lines_of(capsys, trained, "--prompts", "-", "--length", 3)
    assert [row["prompt"] for row in rows] == ["the", "a cat"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "prompts.txt: empty; write a prompt in each line"),
        (b"the\nthe Q\n", "prompts.txt, line 2: the prompt has what the model never saw: 'Q'"),
        (b"the\xff", "prompts.txt: byte 3 is not utf-8"),
        (None, "prompts.txt: cannot be read (No such file"),
    ],
)
def test_prompts_that_cannot_be_used_say_where(
    trained: Path, content: bytes | None, said: str, capsys: Printed
) -> None:
    if content is not None:
        Path("prompts.txt").write_bytes(content)
    assert main(["generate", str(trained), "--prompts", "prompts.txt"]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert not printed.out


def test_runs_stand_in_columns(
    trained: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    options = ["--prompt", "the cat", "--length", 9, "--greedy"]
    shown = generated(capsys, trained, trained, "--side-by-side", *options)
    text = lines_of(capsys, trained, *options)[0]["text"]
    assert any(line.count(text.strip()) == 2 for line in shown.splitlines())
    assert any(line.count("(test") == 2 for line in shown.splitlines())

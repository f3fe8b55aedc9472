import io
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

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
    with pytest.raises(RunError, match=r"no record\.json"):
        text_of(tmp_path)

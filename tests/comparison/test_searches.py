"""Pictures of a search beside a comparison of its trials."""

from collections.abc import Callable
from pathlib import Path

import optuna

from unrolled.comparison.report import compare
from unrolled.sweeps.search.storage import open_storage, quiet

Make = Callable[..., Path]


def search(make_run: Make, path: Path, *names: str, trials: int = 5) -> None:
    """A search of a few finished trials, and their runs."""
    with quiet():
        study = optuna.create_study(
            study_name="s", storage=open_storage(str(path)), directions=["minimize"] * len(names)
        )
        study.set_user_attr("about", {"objectives": names})
        for number in range(trials):
            trial = study.ask()
            lr = trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
            loss = 4.0 + number / 10
            study.tell(trial, [loss, 1000.0 - number][: len(names)])
            config = {"trial.storage": str(path), "trial.search": "s", "trial.number": number}
            make_run("lstm", 1, loss, config={**config, "optimizer.lr": lr}, name=f"run{number}")


def pictures(folder: Path) -> set[str]:
    comparison = compare([folder])
    return {path.name for path in comparison.files if path.suffix == ".png"}


def test_a_search_has_its_history_and_what_mattered(make_run: Make, tmp_path: Path) -> None:
    search(make_run, tmp_path / "search.journal", "validation/loss")
    assert {"search_history.png", "search_importance.png"} <= pictures(tmp_path)
    steps = compare([tmp_path]).next_steps
    assert any(step.startswith("the search: ") for step in steps)
    for name in ("search_history.png", "search_importance.png"):
        content = (tmp_path / "comparison" / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000


def test_too_few_trials_say_nothing_of_what_mattered(make_run: Make, tmp_path: Path) -> None:
    search(make_run, tmp_path / "search.journal", "validation/loss", trials=2)
    assert "search_importance.png" not in pictures(tmp_path)


def test_several_objectives_have_a_front(make_run: Make, tmp_path: Path) -> None:
    search(make_run, tmp_path / "search.journal", "validation/loss", "model.parameters")
    assert "search_pareto_front.png" in pictures(tmp_path)


def test_a_search_that_is_gone_is_said(make_run: Make, tmp_path: Path) -> None:
    search(make_run, tmp_path / "search.journal", "validation/loss")
    (tmp_path / "search.journal").unlink()
    notes = [note.text for note in compare([tmp_path]).notes]
    assert any("search.journal is not there" in note for note in notes)


def test_a_search_that_was_moved_with_its_runs_is_found(make_run: Make, tmp_path: Path) -> None:
    search(make_run, tmp_path / "search.journal", "validation/loss")
    (tmp_path / "search.journal").rename(tmp_path / "study" / "search.journal")
    assert "search_history.png" in pictures(tmp_path)


def test_runs_of_a_grid_have_no_such_pictures(make_run: Make, tmp_path: Path) -> None:
    make_run("lstm", 1)
    make_run("gru", 1)
    assert not {name for name in pictures(tmp_path) if name.startswith("search")}

"""What every test shares: a small text, a cache of its own, and a run that is trained once."""

import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from omegaconf import DictConfig

pytest_plugins = ["fake_folds", "fake_records"]

# Before torch is imported: two test processes with two threads each on two cores wait for one
# another.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that starts the tests in its background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "two",
    "dogs",
    "run",
    "over",
    "green",
    "hills",
    "while",
    "rain",
    "fell",
]


def make_text(lines: int, seed: int = 0) -> str:
    """Lines of random words: learnable, and different for each seed."""
    chooser = random.Random(seed)
    return "".join(" ".join(chooser.choices(WORDS, k=8)) + ".\n" for _ in range(lines))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    # A command run in this process searches the working folder, and lets its children do so.
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        # The next test may have another file of the same name.
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def stand_ins() -> None:
    """Files in the working folder with the names of libraries, which none may be taken for."""
    for name in ("tokenizers", "torch", "rich", "random"):
        Path(f"{name}.py").write_text("raise RuntimeError('not the library')")


@pytest.fixture(scope="session")
def corpus_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests of the embedded corpus, whose tokens and 8-grams take seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared_cache(corpus_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what this test fits to a data set from the tests before it, and for those after it."""
    monkeypatch.setenv("UNROLLED_CACHE", str(corpus_cache))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(make_text(300), encoding="utf-8")
    return path


def tiny(path: Path, *overrides: str) -> list[str]:
    """Overrides of a run that takes a second."""
    return [
        "dataset=text",
        f"dataset.path={path}",
        "model.embedding_size=8",
        "model.hidden_size=16",
        "task.batch_size=4",
        "task.sequence_length=16",
        "task.sample.length=20",
        "trainer.max_steps=20",
        "trainer.validate_every_steps=10",
        "trainer.log_every_steps=5",
        *overrides,
    ]


@pytest.fixture
def configure(text_file: Path) -> Callable[..., DictConfig]:
    """The configuration of a tiny run, with overrides."""
    from unrolled.config.compose import compose_run

    return lambda *overrides: compose_run(tiny(text_file, *overrides))


@pytest.fixture
def overrides(text_file: Path) -> Callable[..., list[str]]:
    """The overrides of a tiny run, for a command line."""
    return lambda *more: tiny(text_file, *more)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., CompletedProcess[str]]:
    """Types a command line in this process, which is ready; the exit code is to be ``code``."""
    from unrolled.cli import main

    def typed(*arguments: str, code: int = 0) -> CompletedProcess[str]:
        capsys.readouterr()
        ended = main(arguments)
        printed = capsys.readouterr()
        assert ended == code, printed.out + printed.err
        return CompletedProcess(arguments, ended, printed.out, printed.err)

    return typed


@pytest.fixture(scope="session")
def configure_in() -> Callable[..., DictConfig]:
    """The configuration of a tiny run with all its files in a folder, for what tests share."""
    from unrolled.config.compose import compose_run

    def configured(folder: Path, *overrides: str) -> DictConfig:
        path = folder / "text.txt"
        path.write_text(make_text(300), encoding="utf-8")
        paths = [f"paths.outputs={folder}/outputs", f"paths.cache={folder}/cache"]
        return compose_run(tiny(path, *paths, *overrides))

    return configured


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, configure_in: Callable[..., DictConfig]
) -> Path:
    """The folder of a finished LSTM run; do not write to it."""
    from unrolled.training.run import run

    folder = tmp_path_factory.mktemp("trained")
    outcome = run(configure_in(folder, "trainer.max_steps=60"))
    assert outcome.folder is not None
    return outcome.folder


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Stands for a disk with little room: no file may have more than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)

"""What is trained: sizes of models, with the text and the optimizer that go with them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from benchmarks.peers.job import Job, Training

CELLS = ("rnn_tanh", "lstm", "gru", "min_gru")
# A cell that neither torch.nn nor Unrolled has a kernel for, as are those of one's own.
OWN = "mgu"
# Of plain gradient descent over words: the largest at which the cell learns from the start.
RATES = {"rnn_tanh": 2.0, "lstm": 20.0, "gru": 5.0, "min_gru": 2.0}
Text = Literal["characters", "words", "many_words"]


@dataclass(frozen=True, kw_only=True)
class Work(Training):
    """A model and its training, as yet without a text.

    Attributes:
        text: which of the prepared texts.
        budget: parameters that the hidden size is solved for; None: ``hidden`` stands.
        parts: how many times the validation text is read.
    """

    name: str
    text: Text
    parts: int = 4
    budget: int | None = None

    def job(self, folder: Path, seed: int, device: Literal["cpu", "cuda"]) -> Job:
        """The work on the text in ``folder``."""
        return Job(
            **{field.name: getattr(self, field.name) for field in fields(Training)},
            folder=str(folder.resolve()),
            unit="char" if self.text == "characters" else "word",
            validate_every=self.steps // self.parts,
            seed=seed,
            device=device,
        )

    def smaller(self) -> "Work":
        """The same in seconds, to see that everything works; its figures say nothing."""
        return replace(
            self, embedding=8, hidden=8, batch=4, length=8, steps=6, parts=3, budget=None
        )

    def solved(self, vocabulary: int) -> "Work":
        """The same with the hidden size that its budget asks of a vocabulary of so many."""
        if self.budget is None:
            return self
        import torch
        from benchmarks.peers.network import LanguageModel

        from unrolled.models.budget import solve_hidden_size

        def count(hidden: int) -> int:
            job = replace(self, hidden=hidden).job(Path(), 0, "cpu")
            with torch.device("meta"):
                return sum(one.numel() for one in LanguageModel(job, vocabulary).parameters())

        return replace(self, hidden=solve_hidden_size(count, self.budget, 0.02))


def _characters(cell: str, hidden: int, layers: int) -> Work:
    name = f"characters-{cell}-{layers}x{hidden}"
    steps = 400 if hidden * layers <= 256 else 160
    return Work(
        name=name,
        text="characters",
        cell=cell,
        embedding=64,
        hidden=hidden,
        layers=layers,
        batch=32,
        length=64,
        optimizer="adam",
        lr=2e-3,
        clip=1.0,
        steps=steps,
    )


def _words(text: Text, cell: str, hidden: int, steps: int) -> Work:
    name = f"{text.replace('_', '-')}-{cell}-2x{hidden}"
    return Work(
        name=name,
        text=text,
        cell=cell,
        embedding=hidden,
        hidden=hidden,
        layers=2,
        batch=20,
        length=35,
        optimizer="sgd",
        lr=RATES[cell],
        clip=0.25,
        steps=steps,
    )


def _all() -> Iterator[Work]:
    for cell in CELLS:
        for layers in (1, 2):
            for hidden in (256, 512):
                yield _characters(cell, hidden, layers)
    yield _characters(OWN, 256, 1)
    for cell in (*CELLS, OWN):
        # The size and the batch of the main study, `make compare`.
        yield replace(
            _characters(cell, 128, 1),
            name=f"characters-{cell}-100k",
            batch=16,
            lr=1e-2,
            budget=100_000,
        )
    for cell in CELLS:
        yield _words("words", cell, 200, 160)
    for cell in CELLS:
        yield _words("words", cell, 650, 60)
    for cell in CELLS:
        yield _words("many_words", cell, 200, 60)


# Those that are measured as a sweep, too.
SWEPT = ("characters-lstm-100k", "characters-lstm-1x256", "words-lstm-2x200")
WORKS = {work.name: work for work in _all()}


def chosen(patterns: list[str] | None) -> list[Work]:
    """The works whose names match a pattern such as ``words-*``; all without one.

    Raises:
        ValueError: a pattern matches none.
    """
    for pattern in patterns or ():
        if not any(fnmatch(name, pattern) for name in WORKS):
            raise ValueError(f"--only {pattern}: matches none of {', '.join(WORKS)}")
    return [
        work
        for name, work in WORKS.items()
        if patterns is None or any(fnmatch(name, pattern) for pattern in patterns)
    ]

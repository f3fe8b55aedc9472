"""How a user's script reads text: a dictionary of the training text, and streams side by side."""

from pathlib import Path

import torch
from torch import Tensor

UNKNOWN, END = "<unk>", "<eos>"


class Corpus:
    """Three files as token ids; the dictionary is the training file's."""

    def __init__(self, folder: Path, unit: str) -> None:
        train, valid, test = (
            _tokens((folder / f"{name}.txt").read_text("utf-8"), unit)
            for name in ("train", "valid", "test")
        )
        words = [UNKNOWN, *(word for word in dict.fromkeys(train) if word != UNKNOWN)]
        self.ids = {word: place for place, word in enumerate(words)}
        self.train, self.valid, self.test = (
            torch.tensor([self.ids.get(word, 0) for word in split])
            for split in (train, valid, test)
        )


def _tokens(text: str, unit: str) -> list[str]:
    if unit == "char":
        return list(text)
    return [word for line in text.splitlines() for word in [*line.split(), END]]


def batchify(ids: Tensor, batch: int) -> Tensor:
    """Contiguous streams side by side ``[time, batch]``; what does not fill one is left out."""
    length = len(ids) // batch
    return ids[: length * batch].view(batch, length).t().contiguous()

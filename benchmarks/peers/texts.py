"""The texts that are trained on, prepared so that every contestant counts the same tokens.

Each is a folder with ``train.txt``, ``valid.txt`` and ``test.txt``: of characters, at most 65
different ones; of words, tokens between spaces, those outside the vocabulary replaced by
``<unk>``. Without files of one's own they are cut from the embedded corpus: no download.
"""

import re
from collections import Counter
from pathlib import Path

from benchmarks.peers.corpus import UNKNOWN
from benchmarks.peers.works import Text

SYMBOLS = 65
VOCABULARIES: dict[Text, int] = {"words": 10_000, "many_words": 33_000}
NAMES = ("train", "valid", "test")
# Characters of the parts that are only evaluated: enough to judge, and quick to read.
EVALUATED = 250_000


def prepare(
    text: Text,
    folder: Path,
    *,
    ptb: Path | None = None,
    shakespeare: Path | None = None,
    limit: int | None = None,
) -> int:
    """Write a text's three files into ``folder``.

    Args:
        ptb: a folder of three files, for ``words``.
        shakespeare: a file, for ``characters``; its last tenth is validation and test.
        limit: characters of each part at most, for a quick look.

    Returns:
        The size of the vocabulary, the unknown token included.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    if text == "words" and ptb is not None:
        parts = {name: _only(ptb, name).read_text("utf-8") for name in NAMES}
        parts = {name: part[:limit] for name, part in parts.items()}
    elif text == "characters":
        parts = _of_symbols(_shakespeare(shakespeare) if shakespeare else _messages(1990), limit)
    else:
        # Marks that stay with their words make more kinds of them than 33,000.
        split_marks = text == "words"
        parts = _of_words(_messages(1790), VOCABULARIES[text], limit, split_marks)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        (folder / f"{name}.txt").write_text(part, "utf-8")
    if text == "characters":
        return len(set(parts["train"])) + 1
    # <eos> ends each line.
    return len({UNKNOWN, "<eos>", *parts["train"].split()})


def _only(folder: Path, name: str) -> Path:
    found = [path for path in sorted(folder.glob("*.txt")) if name in path.name]
    if len(found) != 1:
        raise FileNotFoundError(f"--ptb {folder}: one .txt file must have {name} in its name")
    return found[0]


def _shakespeare(path: Path) -> dict[str, str]:
    text = path.read_text("utf-8")
    first, second = int(0.9 * len(text)), int(0.95 * len(text))
    return {"train": text[:first], "valid": text[first:second], "test": text[second:]}


def _messages(first_year: int) -> dict[str, str]:
    from unrolled.data.sotu import load

    corpus = load("sotu", first_year, 2026)
    parts = zip(NAMES, (corpus.train, corpus.validation, corpus.test), strict=True)
    return {name: part if name == "train" else part[:EVALUATED] for name, part in parts}


def _of_symbols(parts: dict[str, str], limit: int | None) -> dict[str, str]:
    parts = {name: part[:limit] for name, part in parts.items()}
    counts = Counter(parts["train"])
    kept = {symbol for symbol, _ in counts.most_common(SYMBOLS)}
    return {name: "".join(filter(kept.__contains__, part)) for name, part in parts.items()}


def _of_words(
    parts: dict[str, str], vocabulary: int, limit: int | None, split_marks: bool
) -> dict[str, str]:
    word = r"\w+|[^\w\s]" if split_marks else r"\S+"
    lines = {
        # Blank lines are left out.
        name: [re.findall(word, line) for line in part[:limit].split("\n") if line.strip()]
        for name, part in parts.items()
    }
    counts = Counter(word for line in lines["train"] for word in line)
    # <unk> and <eos> are two of the vocabulary.
    kept = {word for word, _ in counts.most_common(vocabulary - 2)}
    return {
        name: "".join(" ".join(w if w in kept else UNKNOWN for w in line) + "\n" for line in part)
        for name, part in lines.items()
    }

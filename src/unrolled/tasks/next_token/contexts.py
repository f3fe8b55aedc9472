"""What a next token is predicted from: the line so far, or a window of the running text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.sequences import Windows
from unrolled.data.tokens import TokenizedCorpus
from unrolled.tasks.kneser_ney import NOTHING

Ids = npt.NDArray[np.integer]
Targets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ContextCorpus(TokenizedCorpus):
    """A tokenized corpus, and for each split the contexts and the token after each."""

    splits: Mapping[str, tuple[Windows, Targets]]

    def describe(self) -> dict[str, Any]:
        about = super().describe()
        # It is over all tokens, and not every token is predicted.
        del about["unigram_perplexity"]
        about["sizes"] = {
            split: {
                **size,
                "examples": len(self.splits[split][0]),
                "length": round(float(self.splits[split][0].lengths.mean()), 2),
            }
            for split, size in self.sizes.items()
        }
        return about


def prefixes(
    ids: Ids, start: int, ends: Collection[int], longest: int | None
) -> tuple[Windows, Targets]:
    """Every prefix of every line, and the token after it; blank lines count for nothing.

    A prefix begins with the token that ended the line before, and ``start`` stands for it in the
    first line, so that a line's first token is predicted, too.

    Args:
        ids: the tokens of a split ``[tokens]``.
        ends: the tokens that end a line, which is the last token of it.
        longest: at most so many tokens of a prefix, the last ones; None: all.
    """
    tokens = np.concatenate([[start], ids]).astype(np.int64)
    before, targets = tokens[:-1], tokens[1:]
    places = np.arange(len(before))
    ended = np.isin(before, list(ends))
    ended[0] = True
    lengths = places - np.maximum.accumulate(np.where(ended, places, 0)) + 1
    if longest is not None:
        lengths = np.minimum(lengths, longest)
    kept = ~(ended & np.isin(targets, list(ends)))
    starts = places - lengths + 1
    return Windows.cut(tokens, starts[kept], lengths[kept]), targets[kept]


def windows(ids: Ids, length: int) -> tuple[Windows, Targets]:
    """Every ``length`` tokens in a row, and the token after them.

    Args:
        ids: the tokens of a split ``[tokens]``, more than ``length``.
    """
    tokens = ids.astype(np.int64)
    starts = np.arange(len(tokens) - length)
    return Windows.cut(tokens, starts, np.full(len(starts), length)), tokens[length:]


def latest(contexts: Windows, count: int) -> Ids:
    """The last tokens of each context ``[contexts, count]``; ``NOTHING`` where it has fewer."""
    back = np.arange(count, 0, -1)
    places = (contexts.begins + contexts.lengths)[:, None] - back
    there = contexts.lengths[:, None] >= back
    return np.where(there, contexts.steps[np.maximum(places, 0)], NOTHING)


def line_so_far(
    tokens: Sequence[int], ends: Collection[int], longest: int | None
) -> Sequence[int]:
    """The prefix of the last line, as ``prefixes`` has it."""
    start = len(tokens) - 1
    while start > 0 and tokens[start] not in ends:
        start -= 1
    return tokens[start if longest is None else max(start, len(tokens) - longest) :]

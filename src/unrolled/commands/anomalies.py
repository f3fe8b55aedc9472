"""Which tokens and lines of a text are unusual, against text that a model is known to meet."""

import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.tasks.generation import Surprisal

# How much of a line is kept to show it.
SHOWN = 200


@dataclass(frozen=True, order=True)
class Line:
    """A line of a text.

    Attributes:
        bits: the mean of its tokens, its end included.
        number: from 1 on.
        text: its beginning.
    """

    bits: float
    number: int
    text: str


class Lines:
    """Cuts tokens into lines; only the line under way is held, and of it the beginning.

    Attributes:
        number: of the line that the next token is in.
    """

    def __init__(self) -> None:
        self.number = 1
        self._bits, self._tokens, self._text, self._blank = 0.0, 0, "", True

    def add(self, token: Surprisal) -> Line | None:
        """The line that the token ends, if any; a line of spaces alone is none."""
        self._bits += token.bits
        self._tokens += 1
        if len(self._text) < SHOWN:
            self._text += token.text
        self._blank = self._blank and not token.text.strip()
        return self.end() if "\n" in token.text else None

    def end(self) -> Line | None:
        """The line under way, at the end of the text."""
        line = None
        if not self._blank:
            line = Line(self._bits / self._tokens, self.number, self._text.strip()[:SHOWN])
        self.number += 1
        self._bits, self._tokens, self._text, self._blank = 0.0, 0, "", True
        return line


class MostSurprising:
    """Keeps so many lines of the highest mean surprisal."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._heap: list[Line] = []

    def add(self, line: Line) -> None:
        """Keep it, if it is one of them so far."""
        if len(self._heap) < self.count:
            heapq.heappush(self._heap, line)
        elif self.count:
            heapq.heappushpop(self._heap, line)

    def lines(self) -> list[Line]:
        """The most surprising first."""
        return sorted(self._heap, key=lambda line: (-line.bits, line.number))


@dataclass(frozen=True)
class Reference:
    """The surprisals of usual text.

    A token or a line is unusual where at most a given share of the usual ones, itself counted as
    one, is as surprising: a conformal p-value (Laxhammar & Falkman 2010). Of text of the same kind
    no larger share is then flagged on average.

    Attributes:
        name: of the text that this is about.
        tokens: bits, ascending.
        lines: mean bits of lines, ascending.
    """

    name: str
    tokens: npt.NDArray[np.float64]
    lines: npt.NDArray[np.float64]


def measure(name: str, tokens: Iterable[Surprisal]) -> Reference:
    """The reference that a text makes."""
    bits, means, lines = array("d"), array("d"), Lines()
    for token in tokens:
        bits.append(token.bits)
        if (line := lines.add(token)) is not None:
            means.append(line.bits)
    if (line := lines.end()) is not None:
        means.append(line.bits)
    return Reference(name, np.sort(np.array(bits)), np.sort(np.array(means)))


def limit(usual: npt.NDArray[np.float64], share: float) -> float:
    """What is above it is unusual; infinite where there are too few to tell.

    Args:
        usual: surprisals of usual text, ascending.
        share: of usual text that may be flagged.
    """
    flagged = int(share * (len(usual) + 1))
    return float(usual[-flagged]) if flagged else np.inf


def share_as_surprising(usual: npt.NDArray[np.float64], bits: float) -> float:
    """The share of usual text that is at least as surprising, this one counted in."""
    above = len(usual) - int(np.searchsorted(usual, bits, side="left"))
    return (1 + above) / (1 + len(usual))

"""Which tokens one reading of a text predicts better than another, shown in their text."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.data.text_tokenizer import TextTokenizer

# Tokens of context that are shown before the one that it is about.
SHOWN = 40
# Places nearer than this to one that is shown tell the same story.
APART = 5


@dataclass(frozen=True)
class Difference:
    """A token and what it gained, in nats.

    Attributes:
        place: in the split, from 0.
        context, token: the text before it, and its own.
        gain: by how much its loss is lower.
    """

    place: int
    context: str
    token: str
    gain: float


def largest(
    gains: npt.NDArray[np.float64],
    places: Iterable[int],
    ids: npt.NDArray[np.integer],
    tokenizer: TextTokenizer,
    count: int,
) -> list[Difference]:
    """The tokens with the largest gains above zero, the largest first.

    Args:
        places: of the tokens in ``ids``, where a start precedes the text.
    """
    where = [*places]
    shown: list[Difference] = []
    for index in np.argsort(-gains, kind="stable"):
        place = int(where[index])
        if len(shown) == count or not gains[index] > 0:
            break
        if any(abs(place - 1 - other.place) < APART for other in shown):
            continue
        context = tokenizer.decode(ids[max(1, place - SHOWN) : place])
        shown.append(
            Difference(place - 1, context, tokenizer.decode([ids[place]]), float(gains[index]))
        )
    return shown

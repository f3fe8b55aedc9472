"""Interpolated modified Kneser-Ney: what counting n-grams makes of a text, without a network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer]
Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Stands in a context for what is not there, before the first token that may be read.
NOTHING = -1
# The discounts of counts 1, 2, and 3 and more, where too few n-grams are that rare to estimate
# them: as in KenLM.
FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order, found by their context and the token after it.

    Attributes:
        contexts: the keys of the contexts of n - 1 tokens, sorted ``[contexts]``: that of the
            context without its first token, and the first token.
        grams: the keys of the n-grams, sorted ``[n-grams]``: the context, and the token.
        discounted: for each n-gram the share of its context's count that its own has, once
            discounted ``[n-grams]``.
        left: for each context the share that the discounts leave to the lower order
            ``[contexts]``.
    """

    contexts: Places
    grams: Places
    discounted: Floats
    left: Floats


class KneserNey:
    """An n-gram model of a vocabulary in which no token is impossible.

    Each order's estimate is its discounted count plus what the discounts leave times the estimate
    of the next lower order, down to a uniform one. The highest order that a context allows counts
    occurrences, each lower one how many different tokens precede its n-grams. The three discounts
    of each order follow from how many n-grams have a count of 1, 2, 3 and 4.

    Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1999),
    section 3 (modKN-fix); Heafield et al., "Scalable modified Kneser-Ney language model
    estimation" (2013), for the interpolation of the unigrams.

    Args:
        contexts: what precedes each counted token ``[tokens, order - 1]``, the nearest last;
            ``NOTHING`` where a context is shorter, from its start on.
        targets: the counted tokens ``[tokens]``, below ``vocabulary_size``.
    """

    def __init__(self, contexts: Ids, targets: Ids, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size
        self.orders: list[_Order] = []
        targets = targets.astype(np.int64)
        rows = np.arange(len(targets))
        # Each row's context so far, by its place among those of its length.
        keys, places = np.zeros(1, np.int64), np.zeros(len(rows), np.int64)
        below = None
        for length in range(contexts.shape[1] + 1):
            if length:
                preceding = contexts[:, -length][rows]
                known = preceding != NOTHING
                rows, places = rows[known], places[known]
                if not len(rows):
                    break
                keys, places = _numbered(places * vocabulary_size + preceding[known])
            grams, of_row = _numbered(places * vocabulary_size + targets[rows])
            if below is not None:
                self.orders.append(self._order(*below, rows, of_row, len(grams)))
            below = keys, grams, rows, of_row
        assert below is not None
        self.orders.append(self._order(*below, np.zeros(0, np.int64), np.zeros(0, np.int64), 0))

    def _order(
        self,
        contexts: Places,
        grams: Places,
        rows: Places,
        of_row: Places,
        longer_rows: Places,
        longer_of_row: Places,
        longer: int,
    ) -> _Order:
        """One order, from the n-grams of each row at it and at the next higher one."""
        # An n-gram counts once for each token that precedes it somewhere ...
        a_row = np.zeros(longer, np.int64)
        a_row[longer_of_row] = longer_rows
        of_all = np.zeros(int(rows[-1]) + 1, np.int64)
        of_all[rows] = of_row
        counts = np.bincount(of_all[a_row], minlength=len(grams))
        # ... and each time that nothing precedes it, or that this is the highest order.
        last = np.ones(len(of_all), bool)
        last[longer_rows] = False
        counts += np.bincount(of_row[last[rows]], minlength=len(grams))
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        context = grams // self.vocabulary_size
        totals = np.bincount(context, counts, len(contexts))
        return _Order(
            contexts,
            grams,
            (counts - discounts) / totals[context],
            np.bincount(context, discounts, len(contexts)) / totals,
        )

    def probabilities(self, contexts: Ids, targets: Ids) -> Floats:
        """The probability of each token after its context ``[tokens]``; those of all tokens of the
        vocabulary sum to one.

        Args:
            contexts, targets: as for the model itself; contexts may be longer or shorter.
        """
        result = np.full(len(targets), 1 / self.vocabulary_size)
        targets = targets.astype(np.int64)
        for order, (rows, places) in zip(self.orders, self._found(contexts), strict=False):
            grams, seen = _find(order.grams, places * self.vocabulary_size + targets[rows])
            own = np.where(seen, order.discounted[grams], 0.0)
            result[rows] = own + order.left[places] * result[rows]
        return result

    def _found(self, contexts: Ids) -> Iterator[tuple[Places, Places]]:
        """For each order the rows whose context it knows, and the contexts' places."""
        rows = np.arange(len(contexts))
        places = np.zeros(len(rows), np.int64)
        yield rows, places
        for length in range(1, contexts.shape[1] + 1):
            if length == len(self.orders):
                return
            preceding = contexts[:, -length][rows].astype(np.int64)
            found, seen = _find(
                self.orders[length].contexts, places * self.vocabulary_size + preceding
            )
            seen &= preceding != NOTHING
            rows, places = rows[seen], found[seen]
            yield rows, places


def running_contexts(ids: Ids, start: int, order: int) -> Ids:
    """The contexts of the tokens of a running text ``[tokens, order - 1]``: all that precedes
    them, and ``start`` before the first one."""
    nothing = np.full(max(order - 2, 0), NOTHING)
    before = np.concatenate([nothing, [start], ids[:-1].astype(np.int64)])
    if order == 1:
        return np.zeros((len(ids), 0), np.int64)
    return np.lib.stride_tricks.sliding_window_view(before, order - 1)


def _numbered(keys: Places) -> tuple[Places, Places]:
    """The different keys, sorted, and the place of each among them."""
    size = int(keys.max()) + 1
    if size > 4 * len(keys):
        different, places = np.unique(keys, return_inverse=True)
        return different, places
    # A table of all keys that there could be needs no sorting.
    there = np.zeros(size, bool)
    there[keys] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[keys]


def _find(keys: Places, wanted: Places) -> tuple[Places, npt.NDArray[np.bool_]]:
    """The places of some keys among sorted ones, and which of them are there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


def _discounts(counts: Places) -> Floats:
    """What is taken off a count of 0, 1, 2, and 3 or more (Chen and Goodman, equation 26)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if n1 and n2 and n3:
        share = n1 / (n1 + 2 * n2)
        found = (
            1 - 2 * share * n2 / n1,
            2 - 3 * share * n3 / n2,
            3 - 4 * share * n4 / n3,
        )
        if all(0 < discount <= count for count, discount in enumerate(found, 1)):
            return np.array([0, *found])
    return np.array([0, *FALLBACK])

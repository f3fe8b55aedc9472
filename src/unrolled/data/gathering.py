"""Texts with their classes gathered one by one, those that lack something refused or counted."""

from collections import Counter
from typing import Literal

import numpy as np

from unrolled.data.corpus import SPLITS
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import DataError

Missing = Literal["refuse", "drop"]


class Gathering:
    """The texts of a data set, as they are read.

    Args:
        missing: whether an example without a text or a class is refused, or left out and counted.
    """

    def __init__(self, missing: Missing) -> None:
        self.missing = missing
        self.texts: list[str] = []
        self.labels: list[str] = []
        self.splits: list[str] = []
        self.groups: list[str] = []
        self.treated: Counter[str] = Counter()

    def add(
        self, text: str, label: str, place: str, *, split: str = "train", group: str | None = None
    ) -> None:
        """Add an example.

        Args:
            place: where it stands, for messages.
            split: of the source's own, that it is in.
            group: that must stay together; of all examples, or of none.

        Raises:
            DataError: it has no text or no class, and that is refused.
        """
        for what, value in (("text", text), ("label", label)):
            if value.strip():
                continue
            if self.missing == "refuse":
                raise DataError(
                    f"{place}: no {what}; mend it, or leave such examples out with "
                    "dataset.missing=drop"
                )
            self.treated[f"examples without {what} dropped"] += 1
            return
        self.texts.append(text)
        self.labels.append(label.strip())
        self.splits.append(split)
        if group is not None:
            self.groups.append(group)

    def labeled(self, name: str, split: Split, own: tuple[str, ...] = ()) -> LabeledSequences:
        """All of them as a data set.

        Args:
            split: how what the source does not have is made.
            own: the splits that the source has of its own, besides ``train``.

        Raises:
            DataError: as ``LabeledSequences``.
        """
        splits = np.asarray(self.splits)
        given = {one: np.flatnonzero(splits == one) for one in SPLITS if one in ("train", *own)}
        return LabeledSequences(
            name,
            self.texts,
            self.labels,
            given=given if own else {},
            groups=self.groups or None,
            split=split,
            treated=dict(self.treated),
        )

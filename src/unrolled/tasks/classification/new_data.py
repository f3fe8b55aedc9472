"""New texts for a trained classifier, and its answers for texts and numbers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.errors import DataError
from unrolled.tasks.classification.data import Fitted
from unrolled.tasks.prediction import NewData

if TYPE_CHECKING:
    from unrolled.data.module import ExampleModule
    from unrolled.models.model import RecurrentModel


def read_texts(new: NewData) -> list[str]:
    """The texts of a file: its lines, or a column of a table.

    Raises:
        DataError: it does not decode, has no such column, or a row has no text.
    """
    from unrolled.data.table_files import ENDINGS, read_table

    if new.path is None or not new.path.name.removesuffix(".gz").lower().endswith(ENDINGS):
        return new.lines()
    table = read_table(new.path)
    column = new.column or str(new.dataset.get("text") or "text")
    table.require_column(column, "--column")
    texts = table.frame[column].to_list()
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{table.place(row)}: no text in the column {column}")
    if not texts:
        raise DataError(f"{new.name}: no rows in it")
    return texts


def answers(
    fitted: Fitted, model: "RecurrentModel", batches: "ExampleModule"
) -> Iterator[Mapping[str, Any]]:
    """For each example its row, its class and the probability of each class."""
    import torch

    from unrolled.models.heads import ClassHead

    head = model.head
    assert isinstance(head, ClassHead)
    model.eval()
    found = []
    with torch.inference_mode():
        for batch in batches.evaluation_dataloader("new"):
            hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
            found.append(head.log_probabilities(hidden).exp())
    shares = torch.cat(found)[np.argsort(batches.order("new"))].tolist()
    for row, probabilities in enumerate(shares, 1):
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        named = zip(fitted.classes, probabilities, strict=True)
        yield {
            "row": row,
            "predicted": fitted.classes[best],
            **{f"p({name})": share for name, share in named},
        }

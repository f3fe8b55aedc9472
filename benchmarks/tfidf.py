"""TF-IDF with logistic regression on exactly the splits or folds of a study of texts.

    python -m benchmarks.tfidf experiment=trec dataset.path=TREC.train dataset.test_path=TREC.test

Takes the overrides of ``unrolled train`` and reads the study's texts and splits as its runs do.
The vectorizer and the classifier are fitted to the training split. Single words or words and
pairs, and the inverse strength C of the penalty, are chosen by the accuracy on validation, in each
fold anew; the test split is read once.
"""

import sys
from collections.abc import Mapping, Sequence
from statistics import fmean

from omegaconf import DictConfig

from unrolled.config.build import EVERYTHING
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Places
from unrolled.errors import DataError, UnrolledError
from unrolled.sweeps.expansion import each_fold, plan
from unrolled.tasks.build import sources

LONGEST = (1, 2)
STRENGTHS = (1.0, 10.0, 100.0)


def accuracies(examples: LabeledSequences, places: Mapping[str, Places]) -> dict[str, float]:
    """The accuracies on validation and test of what does best on validation.

    Args:
        places: the examples of each split.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, classes = {}, {}
    for split, chosen in places.items():
        texts[split], classes[split] = examples.take(chosen)
    best: dict[str, float] = {}
    for longest in LONGEST:
        vectorizer = TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True)
        read = {"train": vectorizer.fit_transform(texts["train"])}
        read |= {split: vectorizer.transform(texts[split]) for split in ("validation", "test")}
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000)
            model.fit(read["train"], classes["train"])
            right = float(model.score(read["validation"], classes["validation"]))
            if right > best.get("validation", -1.0):
                test = float(model.score(read["test"], classes["test"]))
                best = {"words": longest, "C": strength, "validation": right, "test": test}
    return best


def main(overrides: Sequence[str]) -> int:
    """Print the accuracies of each fold, and their means."""
    try:
        configs: dict[int | None, DictConfig] = {}
        for config in plan(overrides).configs:
            for one in each_fold(config):
                # The data is the same for every cell and seed.
                configs.setdefault(one.fold, one)
        found = []
        for fold, config in sorted(configs.items(), key=lambda pair: pair[0] or 0):
            source = sources(config, config.paths.cache, EVERYTHING)
            examples = source.load()
            if not (isinstance(examples, LabeledSequences) and examples.has_texts):
                raise DataError(f"dataset={config.dataset.name}: no texts with classes")
            found.append(accuracies(examples, examples.places(source.fold)))
            where = "" if fold is None else f"fold {fold}  "
            words = "words" if found[-1]["words"] == 1 else "words and pairs"
            print(
                f"{where}validation {found[-1]['validation']:.4f}  test {found[-1]['test']:.4f}  "
                f"({words}, C = {found[-1]['C']:g})",
                flush=True,
            )
    except UnrolledError as error:
        print(f"tfidf: {error}", file=sys.stderr)
        return 2
    if len(found) > 1:
        means = {split: fmean(one[split] for one in found) for split in ("validation", "test")}
        print(f"mean    validation {means['validation']:.4f}  test {means['test']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

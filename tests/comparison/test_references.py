from collections.abc import Callable
from typing import Any

from unrolled.comparison.references import Reference

Make = Callable[..., Any]


def chance(perplexity: float) -> dict[str, Any]:
    return {"baselines": {"chance": {"validation/perplexity": perplexity}}}


def test_baselines_of_every_label_are_there_once(make_runs: Make, analysed: Make) -> None:
    levels = {"validation/perplexity": 21.3, "test/perplexity": 21.5}
    baselines = {"unigram": levels, "bigram": {"validation/perplexity": 11.0}}
    make_runs("lstm", [5.0, 5.1], task={"baselines": baselines})
    make_runs("gru", [5.0, 5.1], task={"baselines": baselines})
    assert analysed().references == (
        Reference("unigram", "baseline", 21.3, 21.5),
        Reference("bigram", "baseline", 11.0, None),
    )
    assert analysed("accuracy").references == ()


def test_baselines_that_differ_say_of_which_data_they_are(make_run: Make, analysed: Make) -> None:
    for seed, (name, tokenizer) in enumerate([("a", "char"), ("a", "word"), ("b", "word")]):
        data = {"name": name, "fingerprint": str(seed), "tokenizer": tokenizer}
        make_run("lstm", seed, folder=f"r{seed}", data=data, task=chance(20.0 + seed))
    labels = [level.label for level in analysed("perplexity").references]
    assert labels == ["chance (a, char)", "chance (a, word)", "chance (b, word)"]


def test_baselines_of_data_that_differ_in_content_alone(make_run: Make, analysed: Make) -> None:
    for seed in (1, 2):
        data = {"name": "a", "fingerprint": f"{seed}" * 9}
        make_run("lstm", seed, folder=f"r{seed}", data=data, task=chance(20.0 + seed))
    labels = [level.label for level in analysed().references]
    assert labels == ["chance (111111)", "chance (222222)"]


def test_published_figures_are_shown_beside_the_baselines(make_runs: Make, analysed: Make) -> None:
    published = [
        {"source": "a tutorial", "validation/perplexity": 121.39, "test/perplexity": 115.91},
        {"source": "a paper", "test/perplexity": 114.5},
        {"source": "another metric", "test/f1": 0.5},
        "no entry at all",
    ]
    make_runs("lstm", [5.0, 5.1], config={"published": published})
    assert analysed().references[1:] == (
        Reference("a tutorial", "published", 121.39, 115.91),
        Reference("a paper", "published", None, 114.5),
    )

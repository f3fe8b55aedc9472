import pytest

from unrolled.metrics.names import lower_is_better


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("train/loss", True),
        ("validation/perplexity", True),
        ("test/bits_per_character", True),
        ("test/mse", True),
        ("test/accuracy", False),
        ("test/accuracy_top5", False),
        ("validation/f1_macro", False),
        ("precision_micro", False),
        ("test/recall_macro", False),
    ],
)
def test_the_name_says_which_way_is_better(metric: str, lower: bool) -> None:
    assert lower_is_better(metric) is lower


def test_the_split_is_not_part_of_the_question() -> None:
    assert not lower_is_better("lossless/accuracy")

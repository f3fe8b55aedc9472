import pytest

from unrolled.comparison.formats import short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (999.4, "999"),
        (999.6, "1.00K"),
        (1000, "1.00K"),
        (12_345, "12.3K"),
        (187_400, "187K"),
        (999_499, "999K"),
        (999_500, "1.00M"),
        (2_412_000, "2.41M"),
        (3e9, "3.00G"),
    ],
)
def test_counts_in_three_digits(value: float | None, text: str) -> None:
    assert short(value) == text

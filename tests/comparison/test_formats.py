import math

import pytest

from unrolled.comparison.formats import Figures, decimals_for, listed, short, whole
from unrolled.comparison.statistics import Estimate
from unrolled.runs.task import Metric
from unrolled.runs.text import one_line


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


@pytest.mark.parametrize(
    ("value", "text", "signed"),
    [
        (5.6123, "5.612", "+5.612"),
        (-5.6123, "-5.612", "-5.612"),
        (0.0001, "0.000", "0.000"),
        (-0.0001, "-0.000", "0.000"),
        (math.inf, "inf", "+inf"),
        (-math.inf, "-inf", "-inf"),
        (1e30, "1e+30", "+1e+30"),
        (12345.6, "12,345.600", "+12,345.600"),
    ],
)
def test_figures_of_a_column(value: float, text: str, signed: str) -> None:
    figures = Figures.of(Metric("min"), [Estimate(5.612, None, None, 1)])
    assert (figures.number(value), figures.signed(value)) == (text, signed)


def test_a_metric_s_own_format_is_kept() -> None:
    figures = Figures.of(Metric("max", format=".1%"), [Estimate(0.5, 0.45, 0.55, 3)])
    assert figures.number(0.5123) == "51.2%"
    assert figures.signed(-0.02) == "-2.0%"
    assert figures.interval(0.45, 0.55) == "[45.0%, 55.0%]"


def test_infinite_estimates_have_no_say_in_the_decimals() -> None:
    finite = Estimate(5.6, 5.5, 5.7, 3)
    assert decimals_for([finite, Estimate(math.inf, None, None, 3)]) == decimals_for([finite])
    assert decimals_for([Estimate(math.inf, None, None, 3)]) == 3


def test_what_a_terminal_would_obey_is_written_out_on_one_line() -> None:
    assert one_line("a\x1b[31m\x9b1mb\nc\td") == "a\\x1b[31m\\x9b1mb\\nc\\td"


def test_names_in_a_sentence() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdefgh", most=3) == "a, b, c and 5 more"


def test_whole_numbers() -> None:
    assert [whole(1234.6), whole(None), whole(math.inf)] == ["1,235", "-", "inf"]

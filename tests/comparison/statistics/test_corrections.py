import pytest

from unrolled.comparison.statistics.corrections import holm


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before; the third is
    # the first that is not below its level, 0.05 / 2.
    corrected, levels = zip(*holm([0.01, 0.04, 0.03, 0.005]), strict=True)
    assert corrected == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert levels == pytest.approx((0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4))
    assert [p for p, _ in holm([0.9, 0.8])] == [1.0, 1.0]
    assert holm([]) == []


def test_tests_that_were_not_made_count() -> None:
    corrected, levels = zip(*holm([0.01, 0.004], untested=8), strict=True)
    assert corrected == pytest.approx((0.09, 0.04))
    assert levels == pytest.approx((0.05 / 9, 0.05 / 10))

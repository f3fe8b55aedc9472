import pytest

from unrolled.comparison.statistics import Margin
from unrolled.errors import ConfigError


def test_a_margin_is_a_share_or_in_the_unit() -> None:
    relative, absolute = Margin.of(" 1% "), Margin.of("0.05")
    assert relative.around(-200.0) == pytest.approx(2.0)
    assert absolute.around(-200.0) == 0.05
    assert (relative.text, absolute.text) == ("1 %", "0.05")


@pytest.mark.parametrize("text", ["", "%", "one", "0", "-1%", "nan", "inf", "1 percent", "1%%"])
def test_what_is_no_margin_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^equivalence=.*: must be above 0, a share such as 1%"):
        Margin.of(text)

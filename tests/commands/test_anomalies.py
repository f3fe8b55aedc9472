import numpy as np
import pytest

from unrolled.commands.anomalies import Lines, MostSurprising, limit, measure, share_as_surprising
from unrolled.tasks.generation import Surprisal


def tokens(*pieces: tuple[str, float]) -> list[Surprisal]:
    return [Surprisal(text, bits, 1) for text, bits in pieces]


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
def test_no_more_usual_text_is_flagged_than_was_asked_for(share: float) -> None:
    generator = np.random.default_rng(0)
    flagged = []
    for _ in range(400):
        usual = np.sort(generator.gamma(2.0, size=300))
        fresh = generator.gamma(2.0, size=50)
        above = limit(usual, share)
        flagged += [bits > above for bits in fresh]
        # What is flagged is what no larger share is as surprising as.
        for bits in fresh[:5]:
            assert (bits > above) == (share_as_surprising(usual, bits) <= share)
    # The fresh ones of a draw share their limit, so that they are not quite independent.
    assert np.mean(flagged) < share + 5 * (share / len(flagged)) ** 0.5 + 0.002
    if share > 1 / 301:
        assert np.mean(flagged) > share / 2


def test_too_little_usual_text_flags_nothing() -> None:
    assert limit(np.arange(50.0), 0.01) == np.inf
    assert limit(np.zeros(0), 0.01) == np.inf


def test_lines_are_numbered_and_blank_ones_are_none() -> None:
    lines = Lines()
    given = tokens(("the", 2.0), (" cat\n", 4.0), (" ", 9.0), ("\n", 9.0), ("a", 1.0))
    ended = [line for token in given if (line := lines.add(token)) is not None]
    last = lines.end()
    assert [(line.number, line.bits, line.text) for line in ended] == [(1, 3.0, "the cat")]
    assert last is not None
    assert (last.number, last.bits, last.text) == (3, 1.0, "a")


def test_a_reference_is_in_order() -> None:
    usual = measure("text", tokens(("a", 3.0), ("\n", 1.0), ("b", 0.5)))
    assert usual.tokens.tolist() == [0.5, 1.0, 3.0]
    assert usual.lines.tolist() == [0.5, 2.0]


def test_the_most_surprising_lines_come_first_and_no_more_are_kept() -> None:
    most = MostSurprising(2)
    lines = Lines()
    for bits in (1.0, 5.0, 3.0, 4.0):
        line = lines.add(Surprisal("x\n", bits, 1))
        assert line is not None
        most.add(line)
    assert [(line.number, line.bits) for line in most.lines()] == [(2, 5.0), (4, 4.0)]

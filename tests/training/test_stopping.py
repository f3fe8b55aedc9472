"""The clock and signals as wishes; what they do to a run is in test_continuation.py."""

import os
import signal
import time

import pytest

from unrolled.errors import TimeLimitError
from unrolled.training import stopping
from unrolled.training.stopping import StopRequest, interrupts_stay, signals_as_before, watchdog


def test_a_second_signal_ends_at_once() -> None:
    stop = StopRequest()
    with signals_as_before():
        stop.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.due
        with pytest.raises(KeyboardInterrupt, match="at once"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_turns_into_an_error_is_one(number: int) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_stay():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError from None
    assert isinstance(caught.value.__cause__, ImportError)
    with pytest.raises(KeyboardInterrupt, match="at once"), interrupts_stay():
        StopRequest().listen()
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise SystemError from None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_after_a_wish_to_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="of its own"), interrupts_stay():
        StopRequest().listen()
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("of its own")


def test_the_first_signal_says_what_happens_next(capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopRequest()
    with signals_as_before():
        stop.listen()
        os.kill(os.getpid(), signal.SIGINT)
        assert capfd.readouterr().err == "stopping after this step; again to end now\n"
        assert not stop.late


def test_the_clock_is_a_wish_too() -> None:
    assert not StopRequest(60).due
    stop = StopRequest(0)
    assert stop.late
    with pytest.raises(TimeLimitError, match="not done within time_limit_minutes=0, at step 7"):
        stop.end(7)


def test_a_rank_that_others_stop_has_not_run_out_of_time() -> None:
    for stop in (StopRequest(), StopRequest(60)):
        with pytest.raises(KeyboardInterrupt, match="stopped at step 7"):
            stop.end(7)


def test_a_run_stuck_in_a_step_is_ended_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    words: list[str] = []
    monkeypatch.setattr(stopping, "GRACE", 0.05)
    monkeypatch.setattr(os, "_exit", codes.append)
    with watchdog(0.05, words.append):
        time.sleep(0.5)
    assert codes == [1]
    assert "stuck in a step" in words[0]
    with watchdog(0.05, words.append):
        pass
    time.sleep(0.2)
    assert len(words) == 1

import json
import math
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from unrolled.commands.adapting import make_request, require_adapts, tuned
from unrolled.commands.evaluate import evaluate
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.runs.record import read_record
from unrolled.tasks.adaptation import Adaptation
from unrolled.tasks.build import build_task

Command = Callable[..., CompletedProcess[str]]


def test_figures_of_a_model_that_adapts_are_apart(trained: Path, command: Command) -> None:
    record = (trained / "record.json").read_bytes()
    line = ["evaluate", str(trained), "--split", "test", "--json"]
    asked = ["--dynamic", "rule=sgd", "lr=0.3", "decay=0.01", "--cache", "size=50", "lambda=0.3"]
    printed = json.loads(command(*line, *asked).stdout)
    static = json.loads(command(*line).stdout)
    assert static["adapted"] is None
    assert printed["metrics"] == static["metrics"]
    assert (trained / "record.json").read_bytes() == record
    found = printed["adapted"]
    assert found["metrics"].keys() == static["metrics"].keys()
    assert found["metrics"]["test/loss"] != static["metrics"]["test/loss"]
    assert found["options"]["dynamic"]["lr"] == 0.3
    assert found["options"]["cache"] == {"size": 50, "theta": 0.3, "lambda": 0.3}
    shown = command(*line[:-1], *asked).stdout
    assert "exactly the recorded figures" in shown
    assert "adapted to the text that was read" in shown
    assert "--cache size=50 theta=0.3 lambda=0.3" in shown


def test_without_learning_the_figures_are_the_static_ones(trained: Path) -> None:
    request = make_request(["rule=sgd", "lr=0", "decay=0", "steps=64"], ["lambda=0"])
    found = evaluate(trained, splits=["test"], adaptation=request).adapted
    assert found is not None
    recorded = read_record(trained).metrics
    for name in ("test/loss", "test/perplexity", "test/bits_per_character"):
        assert found.metrics[name] == pytest.approx(recorded[name], rel=1e-6)


class Valley:
    """Adapts best at one setting."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Adaptation]] = []

    def evaluate(self, split: str, adaptation: Adaptation) -> dict[str, float]:
        self.asked.append((split, adaptation))
        dynamic, cache = adaptation.dynamic, adaptation.cache
        loss = 0.0 if dynamic is None else abs(dynamic.rate - 0.3) + abs(dynamic.decay - 0.001)
        if dynamic is not None and dynamic.rate < 0.05:
            # The first that is tried diverges.
            return {"loss": math.nan}
        loss += 0.0 if cache is None else abs(cache.theta - 1) + abs(cache.lambda_ - 0.05)
        return {"loss": loss}


def test_only_what_is_not_given_is_tuned_and_on_validation_alone() -> None:
    request = make_request(["rule=sgd"], ["lambda=0.4"], tune=True)
    assert request is not None
    valley = Valley()
    best, tried = tuned(valley, request)
    assert best.dynamic is not None
    assert best.cache is not None
    assert (best.dynamic.rate, best.dynamic.decay) == (0.3, 0.001)
    assert (best.cache.theta, best.cache.lambda_) == (1.0, 0.4)
    assert {split for split, _ in valley.asked} == {"validation"}
    assert tried == len(valley.asked) == 12 + 3
    fixed = make_request(["lr=0.5", "decay=0.1"], None, tune=True)
    assert fixed is not None
    assert tuned(valley, fixed) == (fixed.adaptation, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rate=1"], "--dynamic rate=1: its options are rule=…, lr=…"),
        (["lr"], "--dynamic lr: its options are"),
        (["dataset.path=x"], "come before --dynamic"),
        (["lr=fast"], "--dynamic lr=fast: must be float"),
        (["rule=adam"], "must be rms or sgd"),
        (["lr=-1"], "--dynamic lr=-1"),
    ],
)
def test_options_that_cannot_be(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_request(words, None)


def test_what_cannot_adapt_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="--tune: add what is to be tuned"):
        make_request(None, None, tune=True)
    config = compose_run(["task=parity"])
    with pytest.raises(ConfigError, match="task=parity reads no running text"):
        require_adapts(build_task(config.task), config)
    with pytest.raises(ConfigError, match=r"add trainer\.limit_batches=null"):
        evaluate(trained, ["trainer.limit_batches=1"], adaptation=make_request([], None))

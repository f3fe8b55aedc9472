import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from unrolled.commands.evaluate import evaluate
from unrolled.runs.record import read_record
from unrolled.training.checkpoints import best_checkpoint, read_content
from unrolled.training.module import TaskModule
from unrolled.training.nt_asgd import NTASGD
from unrolled.training.run import run

Configure = Callable[..., DictConfig]
# A rate at which a tiny model's validation loss goes up and down.
BOUNCING = ["optimizer=nt_asgd", "optimizer.lr=8", "optimizer.non_monotone_interval=1"]
RUN = [*BOUNCING, "trainer.max_steps=60", "trainer.validate_every_steps=4"]


def make(interval: int = 2) -> tuple[nn.Parameter, NTASGD]:
    weight = nn.Parameter(torch.zeros(3))
    return weight, NTASGD([weight], lr=0.5, weight_decay=0.1, non_monotone_interval=interval)


def descend(weight: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (weight - torch.tensor([1.0, 2.0, 3.0])).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("values", "mode", "triggered"),
    [
        # The paper's n = 2: worse than the best of those more than two validations back.
        ([3, 2, 1, 0], "min", False),
        ([1, 2, 3, 4], "min", True),
        ([1, 2, 3], "min", False),
        ([2, 1, 1.5, 1.9], "min", False),
        ([2, 1, 1.5, 1.9, 1.2], "min", True),
        ([1, 1, 1, 1], "min", False),
        ([1, 2, 3, 4], "max", False),
        ([4, 3, 2, 1], "max", True),
        ([1, 1, 1, math.nan], "min", True),
        ([math.inf, math.inf, 5, 4], "min", False),
    ],
)
def test_when_averaging_begins(values: list[float], mode: str, triggered: bool) -> None:
    _, optimizer = make()
    for value in values[:-1]:
        optimizer.end_evaluation(value, mode)  # type: ignore[arg-type]
        assert not optimizer.averaging
    optimizer.end_evaluation(values[-1], mode)  # type: ignore[arg-type]
    assert optimizer.averaging == triggered


def test_steps_are_those_of_sgd_and_the_average_is_of_all_weights_since_the_trigger() -> None:
    weight, optimizer = make(interval=1)
    other = nn.Parameter(torch.zeros(3))
    plain = torch.optim.SGD([other], lr=0.5, weight_decay=0.1, fused=True)
    seen = []
    for step in range(9):
        descend(weight, optimizer)
        descend(other, plain)
        assert torch.equal(weight, other)
        optimizer.begin_evaluation()
        if optimizer.averaging:
            seen.append(other.detach().clone())
            torch.testing.assert_close(weight.detach(), torch.stack(seen).mean(0))
        optimizer.end_evaluation(step, "min")
        if optimizer.averaging and not seen:
            seen.append(other.detach().clone())
        assert torch.equal(weight, other)
    assert len(seen) == 7


def test_until_the_trigger_a_run_is_one_of_sgd(configure: Configure) -> None:
    options = ["optimizer.lr=2", "trainer.max_steps=20"]
    folders = [
        run(configure(*chosen, *options)).folder
        for chosen in (["optimizer=sgd"], ["optimizer=nt_asgd"])
    ]
    plain, triggered = (read_record(folder) for folder in folders if folder)
    assert plain.metrics == triggered.metrics
    assert plain.identity != triggered.identity


def test_a_run_evaluates_and_keeps_the_averages(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[dict[str, torch.Tensor]] = []
    judged = TaskModule.on_validation_epoch_start

    def watch(self: TaskModule) -> None:
        trained.append({k: v.detach().clone() for k, v in self.state_dict().items()})
        judged(self)

    monkeypatch.setattr(TaskModule, "on_validation_epoch_start", watch)
    folder = run(configure(*RUN)).folder
    assert folder is not None
    last, best = read_content(folder / "checkpoints" / "last.ckpt"), best_checkpoint(folder)
    state = last["optimizer_states"][0]
    group = state["param_groups"][0]
    assert len(group["validations"]) == 15
    assert 1 < group["averaged_weights"] <= 60
    assert best.step > 60 - group["averaged_weights"] + 1
    raw = trained[best.step // 4 - 1]
    assert not all(torch.equal(raw[name], value) for name, value in best.weights.items())
    # Training goes on with the raw weights.
    assert all(torch.equal(trained[-1][name], last["state_dict"][name]) for name in raw)
    if best.step == 60:
        averages = [entry["average"] for entry in state["state"].values()]
        assert any(torch.equal(averages[0], value) for value in best.weights.values())
    evaluation = evaluate(folder)
    assert evaluation.identical


def test_averages_are_better_than_the_weights_that_bounce(
    configure: Configure, tmp_path: Path
) -> None:
    averaged = run(configure(*RUN, "paths.outputs=a")).folder
    raw = run(configure(*RUN, "optimizer.non_monotone_interval=100", "paths.outputs=b")).folder
    assert averaged is not None
    assert raw is not None
    ends = [read_record(folder).history[-1]["validation/loss"] for folder in (averaged, raw)]
    assert ends[0] < ends[1]

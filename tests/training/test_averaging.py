"""A moving average beside the weights of AdamW; the average of SGD is in test_nt_asgd.py."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from unrolled.commands.evaluate import evaluate
from unrolled.errors import ConfigError
from unrolled.runs.record import read_record
from unrolled.training.averaging import EMAAdamW
from unrolled.training.checkpoints import best_checkpoint, read_content
from unrolled.training.run import run

Configure = Callable[..., DictConfig]
RUN = ["optimizer=adamw_ema", "trainer.max_steps=40", "trainer.validate_every_steps=10"]


def make(*weights: nn.Parameter, decay: float = 0.9) -> EMAAdamW:
    return EMAAdamW(
        weights, lr=0.3, weight_decay=0.1, betas=(0.9, 0.99), eps=1e-8, average_decay=decay
    )


def descend(weight: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (weight - torch.tensor([1.0, 2.0, 3.0])).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_steps_are_those_of_adamw_and_the_mean_is_weighted_by_age(decay: float) -> None:
    weight, other = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = make(weight, decay=decay)
    plain = torch.optim.AdamW([other], lr=0.3, weight_decay=0.1, betas=(0.9, 0.99), fused=True)
    seen: list[torch.Tensor] = []
    optimizer.begin_evaluation()
    assert torch.equal(weight, other)
    optimizer.end_evaluation(1.0, "min")
    for _ in range(12):
        descend(weight, optimizer)
        descend(other, plain)
        seen.append(other.detach().clone())
        assert torch.equal(weight, other)
        ages = torch.arange(len(seen) - 1, -1, -1)
        factors = torch.tensor(decay) ** ages
        mean = (torch.stack(seen) * factors[:, None]).sum(0) / factors.sum()
        optimizer.begin_evaluation()
        torch.testing.assert_close(weight.detach(), mean)
        optimizer.end_evaluation(1.0, "min")
        assert torch.equal(weight, other)


def test_a_weight_whose_gradient_comes_late_is_averaged_from_then_on() -> None:
    weight, late = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
    optimizer = make(weight, late)
    descend(weight, optimizer)
    optimizer.begin_evaluation()
    optimizer.end_evaluation(1.0, "min")
    assert torch.equal(late, torch.ones(3))
    descend(late, optimizer)
    first = late.detach().clone()
    assert not torch.equal(first, torch.ones(3))
    optimizer.begin_evaluation()
    assert torch.equal(late, first)


def test_a_run_evaluates_and_keeps_the_average_and_trains_as_adamw_does(
    configure: Configure,
) -> None:
    averaged = run(configure(*RUN)).folder
    plain = run(configure("optimizer=adamw", *RUN[1:])).folder
    assert averaged is not None
    assert plain is not None
    ends = [read_content(folder / "checkpoints" / "last.ckpt") for folder in (averaged, plain)]
    weights = [end["state_dict"] for end in ends]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    best = best_checkpoint(averaged)
    assert not all(torch.equal(best.weights[name], value) for name, value in weights[1].items())
    figures = [read_record(folder).metrics["validation/loss"] for folder in (averaged, plain)]
    assert figures[0] != figures[1]
    assert evaluate(averaged).identical


def test_the_average_is_better_than_weights_that_bounce(configure: Configure) -> None:
    options = [*RUN, "optimizer.lr=0.4"]
    folders = [
        run(configure(*options, f"optimizer.average_decay={decay}")).folder for decay in (0.9, 0)
    ]
    averaged, raw = (read_record(folder) for folder in folders if folder)
    ends = [record.history[-1]["validation/loss"] for record in (averaged, raw)]
    assert ends[0] < ends[1]
    assert averaged.identity != raw.identity


@pytest.mark.parametrize("value", ["1", "-0.1", "high"])
def test_a_share_that_no_mean_can_have_is_refused(configure: Configure, value: str) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.average_decay=" + value):
        configure("optimizer=adamw_ema", f"optimizer.average_decay={value}")

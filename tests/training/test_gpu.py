"""What only a CUDA device shows: cells, training, continuation and sweeps on it."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from unrolled.cli import main
from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.layers import RecurrentLayer
from unrolled.recurrence.backends import choose
from unrolled.recurrence.stack import Recurrence
from unrolled.runs.record import find_runs, read_record
from unrolled.training.run import run

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
# Of the cells that are compiled on a device, those that are compiled here: each takes its time.
COMPILED = ("gru_reset_before", "lstm_layernorm")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_on_the_device_what_it_is_on_the_cpu(name: str) -> None:
    node = compose_run([f"cell={name}"]).cell
    make = partial(target_of(node), **arguments_of(node, "name", "backend"))
    torch.manual_seed(0)
    reference = Recurrence(make, 8, 8, backend="eager").double()
    x = torch.randn(7, 3, 8, dtype=torch.float64)
    fastest = choose(make(8, 8), "auto", torch.device("cuda"), batch=3)
    if fastest == "compiled" and name not in COMPILED:
        fastest = "eager"
    found = {}
    for device, backend in (("cpu", "eager"), ("cuda", fastest)):
        layer = Recurrence(make, 8, 8, backend=backend).double().to(device)
        layer.load_state_dict(reference.state_dict())
        inputs = x.clone().to(device).requires_grad_()
        outputs = layer(inputs)[0]
        outputs.square().sum().backward()
        gradients = [parameter.grad for parameter in layer.parameters()]
        found[device] = [outputs.detach(), inputs.grad, *gradients]
    for mine, theirs in zip(found["cuda"], found["cpu"], strict=True):
        assert mine is not None
        torch.testing.assert_close(mine.cpu(), theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu", "irnn"])
def test_weights_lie_in_one_piece_on_the_device(name: str) -> None:
    kind: Any = target_of(compose_run([f"cell={name}"]).cell)
    pair = (Recurrence(kind, 8, 8).cuda(), RecurrentLayer(8, 8, cell=kind).cuda())
    for layer in pair:
        assert len({weight.untyped_storage().data_ptr() for weight in layer.parameters()}) == 1
    with warnings.catch_warnings():
        # PyTorch says so where it has to copy them together.
        warnings.simplefilter("error")
        for layer in pair:
            layer(torch.randn(7, 3, 8, device="cuda"))[0].sum().backward()


def test_a_run_learns_on_the_device_what_it_learns_on_the_cpu(
    configure: Callable[..., DictConfig],
) -> None:
    losses = {}
    for trainer in ("cpu", "gpu"):
        outcome = run(configure(f"trainer={trainer}", "trainer.precision=fp32"))
        assert outcome.folder is not None
        record = read_record(outcome.folder)
        losses[trainer] = record.metrics["validation/loss"]
    assert record.environment["device"].startswith("gpu")
    assert losses["gpu"] == pytest.approx(losses["cpu"], rel=0.02)


def test_two_runs_of_a_sweep_share_the_device(
    overrides: Callable[..., list[str]], tmp_path: Path
) -> None:
    shared = ["trainer=gpu", "hydra.launcher.gpus_per_run=0.5", "study=shared"]
    assert main(["train", "-m", *overrides(*shared), "seed=1,2"]) == 0
    records = [read_record(folder) for folder in find_runs(tmp_path / "outputs" / "shared")]
    assert [record.status for record in records] == ["finished"] * 2

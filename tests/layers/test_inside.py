"""Layers inside plain loops, Lightning, compiled models, DDP, autocast and exported programs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.kernels.library import compiler

Fixture = Callable[..., Any]
# A cell with a fused kernel, one that is looped over, one that is scanned, one with four states.
KINDS = ["lstm", "mgu", "min_gru", "slstm"]


class Classifier(nn.Module):
    """Says which of three features is the largest at the first step."""

    def __init__(self, cell: str, **arguments: Any) -> None:
        super().__init__()
        self.inputs = nn.Linear(3, 8)
        self.rnn = unrolled.layer(cell, 8, 16, batch_first=True, **arguments)
        self.head = nn.Linear(self.rnn.output_size, 3)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(torch.relu(self.inputs(x)))
        scores: Tensor = self.head(output[:, -1])
        return scores


def examples(count: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(count, 4, 3)
    return x, x[:, 0].argmax(-1)


@pytest.mark.parametrize("cell", KINDS)
def test_a_plain_loop(cell: str) -> None:
    torch.manual_seed(0)
    model = Classifier(cell)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x, y = examples(64)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_lightning(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader, TensorDataset

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Classifier("mgu", num_layers=2, dropout=0.1, zoneout=0.1)

        def training_step(self, batch: list[Tensor]) -> Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.02)

    pl.seed_everything(0, verbose=False)
    module = Lit()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=True,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, DataLoader(TensorDataset(*examples(64)), batch_size=16))
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert all(not torch.equal(before[name], now) for name, now in module.state_dict().items())
    loaded = Lit.load_from_checkpoint(tmp_path / "end.ckpt")
    x, _ = examples(5)
    with torch.no_grad():
        assert torch.equal(loaded.model.eval()(x), module.model.eval()(x))


@pytest.mark.slow
@pytest.mark.parametrize("cell", KINDS)
def test_the_surrounding_model_is_compiled(cell: str) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph

    torch.manual_seed(0)
    model = Classifier(cell, num_layers=2, bidirectional=True)
    compiled = torch.compile(model, backend=backend)
    results = []
    for module in (model, compiled):
        model.zero_grad()
        x, y = examples(6)
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])  # type: ignore[union-attr]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    # What comes before the layer and what comes behind it; nothing of the layer itself.
    called = [str(node.target) for graph in graphs for node in graph.graph.nodes]
    assert sum("linear" in name for name in called) == 2
    assert len(graphs) == 2


RANK = """
import os, sys, torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import torch.distributed as dist
import unrolled

torch.set_num_threads(1)
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(rank)
layer = unrolled.layer("mgu", 3, 8, 2, bidirectional=True, batch_first=True, dtype=torch.float64)
model = DistributedDataParallel(layer)
torch.manual_seed(5)
x = torch.randn(4, 6, 3, dtype=torch.float64)
for _ in range(2):
    layer.zero_grad()
    model(x[2 * rank : 2 * rank + 2])[0].square().mean().backward()
torch.save([layer.state_dict(), {n: p.grad for n, p in layer.named_parameters()}], sys.argv[3])
dist.barrier()
dist.destroy_process_group()
# At an interpreter's end a thread of gloo's that is not through yet aborts the process.
os._exit(0)
"""


@pytest.mark.slow
def test_two_ranks_have_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "meet"), f"{rank}.pt"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        _, said = rank.communicate(timeout=120)
        assert rank.returncode == 0, said
    (weights, gradients), (others, second) = (torch.load(f"{rank}.pt") for rank in range(2))
    layer = unrolled.layer(
        "mgu", 3, 8, 2, bidirectional=True, batch_first=True, dtype=torch.float64
    )
    layer.load_state_dict(weights)
    torch.manual_seed(5)
    layer(torch.randn(4, 6, 3, dtype=torch.float64))[0].square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert torch.equal(weights[name], others[name])
        assert torch.equal(gradients[name], second[name])
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", KINDS)
def test_autocast(cell: str) -> None:
    torch.manual_seed(0)
    layer = unrolled.layer(cell, 3, 16, 2, bidirectional=True)
    x = torch.randn(6, 4, 3)
    exact, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = layer(x)
        carried, _ = layer(x, state)
    assert (output - exact).abs().max() < 0.03
    # PyTorch's kernel for the LSTM stays in fp32 on a CPU: oneDNN's in bf16 learns worse.
    assert torch.equal(output.float(), exact) == (cell == "lstm" and compiler() is None)
    carried.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


@pytest.mark.parametrize("cell", KINDS)
def test_export_with_a_batch_of_any_size(cell: str) -> None:
    torch.manual_seed(0)
    model = Classifier(cell, bidirectional=True).eval()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(model, (torch.randn(3, 3, 3),), dynamic_shapes={"x": {0: batch}})
    x = torch.randn(7, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), model(x), rtol=0, atol=1e-6)
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in operations if "mkldnn" in name or "unrolled" in name}
    assert {f"rnn.{name}" for name, _ in model.rnn.named_parameters()} <= {*program.state_dict}


def test_what_cannot_be_exported_is_said() -> None:
    layer = unrolled.layer("lstm", 3, 8)
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with pytest.raises(unrolled.errors.LayerError, match="export the model with a tensor"):
        torch.export.export(layer, (packed,))

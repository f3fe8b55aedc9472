"""Who takes part in the benchmark of cells, and on what: cells by backends, and their peers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.cells.cost import flops
from unrolled.cells.gru import GRU
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.recurrence.backends import BACKENDS, choose
from unrolled.recurrence.stack import Recurrence

REFERENCE = "nn.LSTM"
USER = "user's LSTM"
# The backend of what PyTorch has.
PEER = "torch.nn"
# Builds a cell from its input size and hidden size.
Make = Callable[[int, int], Cell]


class OwnLSTM(Cell):
    """The LSTM as a user writes it, by the contract of cells alone."""

    state_names = ("h", "c")
    recurrent_weights = ("hidden.weight",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.hidden = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def project(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.input(x))

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (z + self.hidden(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class CellLoop(nn.Module):
    """The loop that tutorials show: ``torch.nn.LSTMCell``, step by step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        state, outputs = None, []
        for x_t in x:
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs), state or ()


@dataclass(frozen=True)
class Contestant:
    """What is measured.

    Attributes:
        cell, backend: its name, and what runs it.
        auto: whether ``auto`` stands for this backend.
        module: takes ``[time, batch, size]``, gives outputs of the same shape and a state.
        flops: floating-point operations a token, by ``unrolled.cells.cost``.
    """

    cell: str
    backend: str
    auto: bool
    module: nn.Module
    flops: float


@dataclass(frozen=True)
class Setting:
    """Where and in what precision it is measured, and on how many sequences."""

    device: torch.device
    dtype: torch.dtype
    batch: int

    @property
    def wide(self) -> torch.dtype:
        """The type of parameters and input: half precision is autocast."""
        return torch.promote_types(self.dtype, torch.float32)

    def placed(self, module: nn.Module) -> nn.Module:
        """The module on the device, in training."""
        return module.to(self.device, self.wide).train()

    def work(self, module: nn.Module, size: int, length: int) -> Callable[[], None]:
        """One pass forwards and backwards over random input."""
        shape = (length, self.batch, size)
        x = torch.randn(shape, device=self.device, dtype=self.wide, requires_grad=True)
        with self.precision(), torch.no_grad():
            grad = torch.randn_like(module(x)[0])
        leaves = [x, *module.parameters()]

        def once() -> None:
            with self.precision():
                y = module(x)[0]
            y.backward(grad)
            for leaf in leaves:
                leaf.grad = None

        return once

    def finish(self) -> None:
        """Wait for what the device still does."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def precision(self) -> torch.autocast:
        """Autocast where it is half precision."""
        half = self.dtype in (torch.bfloat16, torch.float16)
        dtype = self.dtype if half else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=half)


def peers(size: int, setting: Setting) -> Iterator[Contestant]:
    """What PyTorch has."""
    kernels: list[tuple[str, nn.Module, type[Cell]]] = [
        (REFERENCE, nn.LSTM(size, size), LSTM),
        ("nn.GRU", nn.GRU(size, size), GRU),
        ("nn.RNN", nn.RNN(size, size), RnnTanh),
        ("nn.LSTMCell loop", CellLoop(size, size), LSTM),
    ]
    for name, module, same in kernels:
        yield Contestant(name, PEER, False, setting.placed(module), flops(same(size, size)))


def makers(names: Sequence[str]) -> dict[str, Make]:
    """Each cell of conf/cell, with the options that its file has."""
    found: dict[str, Make] = {}
    for name in names:
        node = compose_run([f"cell={name}"]).cell
        found[name] = partial(target_of(node), **arguments_of(node, "name", "backend"))
    return found


def entries(
    make: Mapping[str, Make], size: int, backends: Sequence[str], setting: Setting
) -> Iterator[Contestant]:
    """Each cell by each of the backends that can run it; prints why one that was named cannot."""
    for name, make_cell in make.items():
        cell = make_cell(size, size)
        auto = choose(cell, "auto", setting.device, batch=setting.batch)
        ways: list[str] = []
        for backend in BACKENDS if backends == ["all"] else backends:
            try:
                ways.append(choose(cell, backend, setting.device, batch=setting.batch))
            except ConfigError as refusal:
                if backends != ["all"]:
                    print(f"{name} without {backend}: {refusal}")
        for backend in dict.fromkeys(ways):
            layer = setting.placed(Recurrence(make_cell, size, size, backend=backend))
            yield Contestant(name, backend, backend == auto, layer, flops(cell))

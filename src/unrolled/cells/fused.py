"""PyTorch's fused kernels for cells with one state."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrolled.cells.base import State
from unrolled.cells.gated import GatedCell

# From so many multiplications a step the engine's loop beats these kernels on AMD processors.
LARGE_STEP = 1_500_000


class OneStateCell(GatedCell):
    """A gated cell with one state and a fused kernel of PyTorch's."""

    two_biases = True

    def native_suits(self, device: torch.device, *, batch: int, unequal: bool) -> bool:
        # On CPUs these kernels multiply by MKL, at half of oneDNN's rate on AMD processors.
        slow = device.type == "cpu" and batch >= 8 and batch * self.weight_hh.numel() >= LARGE_STEP
        return super().native_suits(device, batch=batch, unequal=unequal) and not (
            slow and self.weight_hh.dtype == torch.float32 and on_amd()
        )


@cache
def on_amd() -> bool:
    """Whether this machine's processor is one of AMD's, as far as Linux tells."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "AuthenticAMD" in cpu.read_text(encoding="utf-8", errors="replace")


def one_state(
    kernel: Callable[..., Any],
    cell: GatedCell,
    x: Tensor,
    state: State,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, State]:
    """``Cell.native`` by ``torch.gru``, ``torch.rnn_tanh`` or ``torch.rnn_relu``."""
    h = state[0][None]
    # With biases, one layer, no dropout between layers, one direction; time comes first.
    how = (cell.weights(), True, 1, 0.0, cell.training, False)
    y, h = kernel(x, h, *how, False) if batch_sizes is None else kernel(x, batch_sizes, h, *how)
    return y, (h[0],)

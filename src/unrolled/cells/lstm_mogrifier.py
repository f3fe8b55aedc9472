"""Long short-term memory whose input and state gate each other first."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell
from unrolled.errors import ConfigError


class LSTMMogrifier(GatedCell):
    """Melis, Kočiský & Blunsom, ICLR 2020 (arXiv 1909.01792), eqs. 1 and 2.

    With x^{-1} = x_t and h^0 = h_{t-1}, for i = 1, …, rounds:
    x^i = 2σ(Q^i h^{i-1}) ⊙ x^{i-2} for odd i
    h^i = 2σ(R^i x^{i-1}) ⊙ h^{i-2} for even i
    and with the last x^i and h^i, written x and h:
    f_t = σ(W_f x + U_f h + b_f)
    i_t = σ(W_i x + U_i h + b_i)
    j_t = tanh(W_j x + U_j h + b_j)
    o_t = σ(W_o x + U_o h + b_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ j_t
    h_t = o_t ⊙ tanh(c_t)

    The state changes the input, so no product can be taken for all steps at once. ``modulations``
    holds Q^1, R^2, Q^3, ….

    State: ``h`` and ``c``, ``[batch, hidden_size]`` each.
    Initialization: PyTorch's for the LSTM, everything from U(-1/√hidden_size, 1/√hidden_size), Q
    and R included; 2σ is then close to one, and the cell to an LSTM.

    Args:
        rounds: how often input and state gate each other; 5 is what the paper recommends.
        rank: the Q^i and R^i as products of two matrices through so many units; None for full
            matrices.

    Raises:
        ConfigError: ``rounds`` or ``rank`` is below 1.
    """

    state_names = ("h", "c")
    gates = ("f", "i", "j", "o")

    def __init__(
        self, input_size: int, hidden_size: int, *, rounds: int = 5, rank: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size)
        if rounds < 1:
            raise ConfigError(f"cell.rounds={rounds}: must be at least 1; for none take cell=lstm")
        if rank is not None and rank < 1:
            raise ConfigError(f"cell.rank={rank}: must be at least 1, or null for full matrices")
        modulating = (Gate(f"{'QR'[i % 2]}{i + 1}") for i in range(rounds))
        self.gating = (*modulating, Gate("f", "keeps"), Gate("i"), Gate("o"))
        sizes = (hidden_size, input_size)
        self.modulations = nn.ModuleList(
            _product(sizes[i % 2], sizes[1 - i % 2], rank) for i in range(rounds)
        )

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, z: Tensor, state: State) -> State:
        x, (h, c) = z, state
        for number, modulation in enumerate(self.modulations, start=1):
            if number % 2:
                x = 2 * torch.sigmoid(modulation(h)) * x
            else:
                h = 2 * torch.sigmoid(modulation(x)) * h
        gates = F.linear(x, self.weight_ih, self.bias_ih) + self.recur(h)
        f, i, j, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        return torch.sigmoid(o) * torch.tanh(c), c


def _product(reads: int, writes: int, rank: int | None) -> nn.Module:
    if rank is None:
        return nn.Linear(reads, writes, bias=False)
    return nn.Sequential(nn.Linear(reads, rank, bias=False), nn.Linear(rank, writes, bias=False))

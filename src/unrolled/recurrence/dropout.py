"""Dropout along time."""

from torch import Tensor, nn
from torch.nn import functional as F


class TimeDropout(nn.Module):
    """Dropout on ``[time, batch, features]``.

    Locked, one mask serves all time steps of a chunk (variational dropout, Gal & Ghahramani 2016,
    as in Merity et al. 2018); otherwise each step has its own (Zaremba et al. 2014).
    """

    def __init__(self, rate: float, *, locked: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.locked = locked

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        if not self.locked:
            return F.dropout(x, self.rate)
        return x * F.dropout(x.new_ones(1, *x.shape[1:]), self.rate)

    def extra_repr(self) -> str:
        return f"{self.rate}, locked={self.locked}"

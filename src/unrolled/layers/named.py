"""A layer for each cell of the package, and ``torch.nn.RNN``'s stand-in.

Each takes the arguments of ``RecurrentLayer`` and its cell's own; the cell's file has its
equations, its source and what its options mean.
"""

from typing import Any

import torch

from unrolled.cells import (
    gru,
    gru_layernorm,
    gru_reset_before,
    indrnn,
    irnn,
    lru,
    lstm,
    lstm_cifg,
    lstm_layernorm,
    lstm_mogrifier,
    lstm_peephole,
    mgu,
    min_gru,
    min_lstm,
    qrnn,
    rhn,
    rnn_relu,
    rnn_tanh,
    slstm,
    sru,
    ugrnn,
)
from unrolled.errors import LayerError
from unrolled.layers.recurrent import RecurrentLayer


class GRU(RecurrentLayer):
    """Gated recurrent units, reset after the product (Cho et al. 2014): as ``torch.nn.GRU``."""

    cell_type = gru.GRU


class GRULayerNorm(RecurrentLayer):
    """Gated recurrent units with layer normalization (Ba et al. 2016)."""

    cell_type = gru_layernorm.GRULayerNorm


class GRUResetBefore(RecurrentLayer):
    """Gated recurrent units, reset before the product (Cho et al. 2014), as textbooks have it."""

    cell_type = gru_reset_before.GRUResetBefore


class IndRNN(RecurrentLayer):
    """Independently recurrent units (Li et al. 2018).

    Options: ``recurrent_min``, ``recurrent_max``, ``recurrent_bound``.
    """

    cell_type = indrnn.IndRNN


class IRNN(RecurrentLayer):
    """Rectified units that start as the identity (Le et al. 2015).

    Options: ``scale``, ``input_std``.
    """

    cell_type = irnn.IRNN


class LRU(RecurrentLayer):
    """Linear recurrent units (Orvieto et al. 2023); the state is ``(re, im)``.

    Options: ``r_min``, ``r_max``, ``max_phase``, ``activation``.
    """

    cell_type = lru.LRU


class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000): as
    ``torch.nn.LSTM``; the state is ``(h, c)``.

    Options: ``projection_size``, which is ``proj_size`` of any width.
    """

    cell_type = lstm.LSTM


class LSTMCIFG(RecurrentLayer):
    """Long short-term memory with coupled gates (Greff et al. 2017); the state is ``(h, c)``."""

    cell_type = lstm_cifg.LSTMCIFG


class LSTMLayerNorm(RecurrentLayer):
    """Long short-term memory, layer-normalized (Ba et al. 2016); the state is ``(h, c)``."""

    cell_type = lstm_layernorm.LSTMLayerNorm


class LSTMMogrifier(RecurrentLayer):
    """Long short-term memory gated with its input (Melis et al. 2020); the state is ``(h, c)``.

    Options: ``rounds``, ``rank``.
    """

    cell_type = lstm_mogrifier.LSTMMogrifier


class LSTMPeephole(RecurrentLayer):
    """Long short-term memory with peepholes (Gers et al. 2002); the state is ``(h, c)``."""

    cell_type = lstm_peephole.LSTMPeephole


class MGU(RecurrentLayer):
    """Minimal gated units (Zhou et al. 2016)."""

    cell_type = mgu.MGU


class MinGRU(RecurrentLayer):
    """Gated recurrent units without the state in their gates (Feng et al. 2024).

    Options: ``candidate``.
    """

    cell_type = min_gru.MinGRU


class MinLSTM(RecurrentLayer):
    """Long short-term memory without the state in its gates (Feng et al. 2024).

    Options: ``candidate``.
    """

    cell_type = min_lstm.MinLSTM


class QRNN(RecurrentLayer):
    """Quasi-recurrent networks (Bradbury et al. 2017); the state is ``(c, inputs)``, the earlier
    inputs of each layer padded with zeros to the widest layer's.

    Options: ``window``.
    """

    cell_type = qrnn.QRNN


class RHN(RecurrentLayer):
    """Recurrent highway networks (Zilly et al. 2017).

    Options: ``depth``, ``transform_bias``, ``initial_range``.
    """

    cell_type = rhn.RHN


class RnnRelu(RecurrentLayer):
    """Simple recurrent networks with rectified units: as ``torch.nn.RNN(nonlinearity="relu")``."""

    cell_type = rnn_relu.RnnRelu


class RnnTanh(RecurrentLayer):
    """Simple recurrent networks (Elman 1990): as ``torch.nn.RNN``."""

    cell_type = rnn_tanh.RnnTanh


class SLSTM(RecurrentLayer):
    """The sLSTM of xLSTM (Beck et al. 2024); the state is ``(h, c, n, m)``, where ``m`` starts at
    -∞.

    Options: ``heads``, ``forget_gate``.
    """

    cell_type = slstm.SLSTM


class SRU(RecurrentLayer):
    """Simple recurrent units (Lei et al. 2017); the state is ``c``.

    Options: ``highway_bias``.
    """

    cell_type = sru.SRU


class UGRNN(RecurrentLayer):
    """Update gate networks (Collins et al. 2017).

    Options: ``gate_bias``.
    """

    cell_type = ugrnn.UGRNN


class RNN(RecurrentLayer):
    """Simple recurrent networks (Elman 1990), with the arguments of ``torch.nn.RNN`` in its order.

    Args:
        nonlinearity: ``tanh`` or ``relu``.
        arguments: as for ``RecurrentLayer``, except ``proj_size``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        **arguments: Any,
    ) -> None:
        cells = {"tanh": rnn_tanh.RnnTanh, "relu": rnn_relu.RnnRelu}
        if nonlinearity not in cells:
            raise LayerError(f"nonlinearity={nonlinearity!r}: must be 'tanh' or 'relu'")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            cell=cells[nonlinearity],
            **arguments,
        )
        self.nonlinearity = nonlinearity
        self._arguments["nonlinearity"] = nonlinearity

    def extra_repr(self) -> str:
        return super().extra_repr().removesuffix(", nonlinearity=tanh")


# By the names that the cells have in the configuration.
BY_NAME: dict[str, type[RecurrentLayer]] = {
    "gru": GRU,
    "gru_layernorm": GRULayerNorm,
    "gru_reset_before": GRUResetBefore,
    "indrnn": IndRNN,
    "irnn": IRNN,
    "lru": LRU,
    "lstm": LSTM,
    "lstm_cifg": LSTMCIFG,
    "lstm_layernorm": LSTMLayerNorm,
    "lstm_mogrifier": LSTMMogrifier,
    "lstm_peephole": LSTMPeephole,
    "mgu": MGU,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "qrnn": QRNN,
    "rhn": RHN,
    "rnn_relu": RnnRelu,
    "rnn_tanh": RnnTanh,
    "slstm": SLSTM,
    "sru": SRU,
    "ugrnn": UGRNN,
}

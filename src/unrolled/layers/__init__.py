"""Recurrent layers for anybody's PyTorch model, in the place of ``torch.nn.LSTM``.

The adding problem (Hochreiter & Schmidhuber 1997): of ten numbers two are marked, and their sum
is asked for. Answering 1 has a squared error of 1/6.

>>> import torch, unrolled
>>> from torch import nn
>>> class Adder(nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.rnn = unrolled.layer("gru", 2, 32, batch_first=True)
...         self.head = nn.Linear(32, 1)
...
...     def forward(self, x):
...         output, _ = self.rnn(x)
...         return self.head(output[:, -1]).squeeze(-1)
>>> def examples(count, time=10):
...     numbers, marks = torch.rand(count, time), torch.zeros(count, time)
...     marks.scatter_(1, torch.rand(count, time).topk(2).indices, 1.0)
...     return torch.stack([numbers, marks], -1), (numbers * marks).sum(1)
>>> _ = torch.manual_seed(0)
>>> model = Adder()
>>> optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
>>> for step in range(200):
...     x, y = examples(32)
...     loss = nn.functional.mse_loss(model(x), y)
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> with torch.no_grad():
...     x, y = examples(1000)
...     error = nn.functional.mse_loss(model(x), y).item()
>>> error < 1 / 60
True
"""

from unrolled.layers.build import layer
from unrolled.layers.named import (
    GRU,
    IRNN,
    LRU,
    LSTM,
    LSTMCIFG,
    MGU,
    QRNN,
    RHN,
    RNN,
    SLSTM,
    SRU,
    UGRNN,
    GRULayerNorm,
    GRUResetBefore,
    IndRNN,
    LSTMLayerNorm,
    LSTMMogrifier,
    LSTMPeephole,
    MinGRU,
    MinLSTM,
    RnnRelu,
    RnnTanh,
)
from unrolled.layers.recurrent import RecurrentLayer

__all__ = [
    "GRU",
    "IRNN",
    "LRU",
    "LSTM",
    "LSTMCIFG",
    "MGU",
    "QRNN",
    "RHN",
    "RNN",
    "SLSTM",
    "SRU",
    "UGRNN",
    "GRULayerNorm",
    "GRUResetBefore",
    "IndRNN",
    "LSTMLayerNorm",
    "LSTMMogrifier",
    "LSTMPeephole",
    "MinGRU",
    "MinLSTM",
    "RecurrentLayer",
    "RnnRelu",
    "RnnTanh",
    "layer",
]

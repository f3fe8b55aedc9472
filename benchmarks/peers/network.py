"""The network as a user of PyTorch writes it: embedding, ``torch.nn``'s layers, linear output."""

from typing import Any

import torch
from benchmarks.peers.job import RANGE, Training
from torch import Tensor, nn


class MinGRU(nn.Module):
    """Layers of the minimal GRU (Feng et al. 2024), its equations step by step: ``torch.nn`` has
    none. Like its layers it takes ``[time, batch, size]`` and a state, and gives both."""

    def __init__(self, input_size: int, hidden_size: int, layers: int) -> None:
        super().__init__()
        sizes = [input_size] + [hidden_size] * (layers - 1)
        self.layers = nn.ModuleList(nn.Linear(size, 2 * hidden_size) for size in sizes)
        self.hidden_size = hidden_size

    def forward(self, x: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        last = []
        for place, layer in enumerate(self.layers):
            h = x.new_zeros(x.shape[1], self.hidden_size) if state is None else state[place]
            gate, candidate = layer(x).chunk(2, dim=-1)
            gate, outputs = torch.sigmoid(gate), []
            for z_t, h_t in zip(gate, candidate, strict=True):
                h = (1 - z_t) * h + z_t * h_t
                outputs.append(h)
            x = torch.stack(outputs)
            last.append(h)
        return x, last


class MGU(nn.Module):
    """Layers of the minimal gated unit (Zhou et al. 2016), as somebody writes a cell of their own:
    each step in PyTorch's operations."""

    def __init__(self, input_size: int, hidden_size: int, layers: int) -> None:
        super().__init__()
        sizes = [input_size] + [hidden_size] * (layers - 1)
        self.read = nn.ModuleList(nn.Linear(size, 2 * hidden_size) for size in sizes)
        self.forget = nn.ModuleList(_recurrent(hidden_size) for _ in sizes)
        self.renew = nn.ModuleList(_recurrent(hidden_size) for _ in sizes)
        self.hidden_size = hidden_size

    def forward(self, x: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        last = []
        for place, read in enumerate(self.read):
            h = x.new_zeros(x.shape[1], self.hidden_size) if state is None else state[place]
            forget, renew = self.forget[place], self.renew[place]
            outputs = []
            for z in read(x):
                of_gate, of_new = z.chunk(2, dim=-1)
                gate = torch.sigmoid(of_gate + forget(h))
                new = torch.tanh(of_new + renew(gate * h))
                h = (1 - gate) * h + gate * new
                outputs.append(h)
            x = torch.stack(outputs)
            last.append(h)
        return x, last


def _recurrent(size: int) -> nn.Linear:
    return nn.Linear(size, size, bias=False)


KINDS = {"rnn_tanh": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU, "min_gru": MinGRU, "mgu": MGU}


class LanguageModel(nn.Module):
    """Scores of each next token ``[time * batch, vocabulary]``, and the state."""

    def __init__(self, job: Training, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, job.embedding)
        self.recurrence = KINDS[job.cell](job.embedding, job.hidden, job.layers)
        self.decoder = nn.Linear(job.hidden, vocabulary)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -RANGE, RANGE)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        hidden, state = self.recurrence(self.embedding(tokens), state)
        return self.decoder(hidden).flatten(0, 1), state


def detach(state: Any) -> Any:
    """The state without what led to it."""
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(detach(part) for part in state)


def optimizer_of(job: Training, model: nn.Module) -> torch.optim.Optimizer:
    """As most scripts make it: the defaults but for the rate."""
    kind = torch.optim.SGD if job.optimizer == "sgd" else torch.optim.Adam
    return kind(model.parameters(), lr=job.lr)

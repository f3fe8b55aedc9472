"""A page of PyTorch that runs with every cell, with nothing changed but the class's name."""

from typing import Any

import pytest
import torch

from unrolled import layers
from unrolled.layers.named import BY_NAME

PAGE = '''
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    """Says of each character whether it is the first one."""

    def __init__(self, characters=6, embedding=8, hidden=8):
        super().__init__()
        self.embedding = nn.Embedding(characters, embedding, padding_idx=0)
        self.rnn = nn.LSTM(
            embedding, hidden, num_layers=2, batch_first=True, dropout=0.1, bidirectional=True
        )
        for name, parameter in self.rnn.named_parameters():
            if "weight_ih" in name:
                nn.init.xavier_uniform_(parameter)
        self.rnn.flatten_parameters()
        self.head = nn.Linear(2 * hidden, 2)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(
            self.embedding(x), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        output, state = self.rnn(packed)
        output, _ = pad_packed_sequence(output, batch_first=True, total_length=x.size(1))
        return self.head(output)


torch.manual_seed(0)
model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
losses = []
for step in range(12):
    lengths = torch.randint(2, 7, (12,))
    x = torch.randint(1, 6, (12, 6))
    inside = torch.arange(6) < lengths[:, None]
    x = x * inside
    y = torch.where(inside, (x == x[:, :1]).long(), -100)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x, lengths).transpose(1, 2), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
model.eval()
with torch.no_grad():
    scores = model(x, lengths)
'''


def run(layer: str, **names: Any) -> dict[str, Any]:
    assert PAGE.count("nn.LSTM(") == 1
    found: dict[str, Any] = dict(names)
    exec(PAGE.replace("nn.LSTM(", f"{layer}("), found)
    return found


@pytest.mark.parametrize("name", BY_NAME)
def test_it_learns_with_every_cell(name: str) -> None:
    found = run(f"layers.{BY_NAME[name].__name__}", layers=layers)
    losses, scores = found["losses"], found["scores"]
    assert isinstance(found["model"].rnn, BY_NAME[name])
    assert scores.isfinite().all()
    assert sum(losses[-4:]) < sum(losses[:4])


@pytest.mark.parametrize(("ours", "theirs"), [("LSTM", "LSTM"), ("GRU", "GRU"), ("RNN", "RNN")])
def test_a_model_of_ours_loads_what_pytorchs_has_learned(ours: str, theirs: str) -> None:
    there = run(f"nn.{theirs}")
    here = run(f"layers.{ours}", layers=layers)
    x, lengths = there["x"], there["lengths"]
    here["model"].load_state_dict(there["model"].state_dict())
    with torch.no_grad():
        scores = here["model"](x, lengths)
    torch.testing.assert_close(scores, there["scores"], rtol=1e-5, atol=1e-5)
    there["model"].load_state_dict(here["model"].state_dict())

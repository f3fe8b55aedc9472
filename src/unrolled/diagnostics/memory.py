"""How much of its context a model of running text uses.

Khandelwal, He, Qi & Jurafsky, "Sharp nearby, fuzzy far away", ACL 2018 (arXiv 1805.04623): the
loss of the same targets as a function of how many tokens before them the model sees, of whether
the far ones are in order, and of how frequent the target is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.diagnostics.sample import SEED, TokenStream, windows
from unrolled.models.heads import Distribution
from unrolled.models.model import RecurrentModel

# Context lengths; the longest that the text allows stands for all of it.
CONTEXTS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320)
# Tokens nearer than this keep their order where the others are shuffled.
KEPT = (5, 10, 20, 40, 80)
# A context is long enough where the loss is within this share of that with all of it.
WITHIN = 0.01
# The context without which a token's gain from memory is measured.
SHORT = 10
GROUPS = ("frequent", "middle", "rare")
# States are computed for so many tokens at a time, and so many scores are there at once (128 MB).
CHUNK = 1 << 15
SCORES = 1 << 25

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MemoryLength:
    """Losses of the same targets, in nats a token.

    Attributes:
        places: of the targets in the stream, ``[targets]``.
        contexts: numbers of tokens seen, ``[contexts]``.
        losses: of each target with each context, ``[contexts, targets]``.
        groups: for each group of targets by their frequency in the training split, its members.
        kept: at least so many tokens are in order, ``[orders]``.
        shuffled: the mean loss where the tokens further back are shuffled, ``[orders]``, and
            ``unshuffled`` where none is, of the same targets.
        by_position: the mean loss at each position after the initial state, ``[positions]``.
    """

    places: npt.NDArray[np.int64]
    contexts: tuple[int, ...]
    losses: Array
    groups: dict[str, npt.NDArray[np.bool_]]
    kept: tuple[int, ...]
    shuffled: Array
    unshuffled: float
    by_position: Array

    @property
    def means(self) -> Array:
        """The mean loss with each context."""
        means: Array = self.losses.mean(1)
        return means

    def length(self, group: str | None = None) -> int:
        """The shortest context from which on the loss is within ``WITHIN`` of that with the
        longest.

        Args:
            group: of targets; None: all.
        """
        losses = self.losses if group is None else self.losses[:, self.groups[group]]
        means = losses.mean(1)
        outside = np.flatnonzero(means > (1 + WITHIN) * means[-1])
        return self.contexts[int(outside[-1]) + 1 if len(outside) else 0]

    @property
    def order_length(self) -> int | None:
        """The fewest tokens in order from which on shuffling those further back costs at most
        ``WITHIN``; None where it always costs more."""
        outside = np.flatnonzero(self.shuffled > (1 + WITHIN) * self.unshuffled)
        after = int(outside[-1]) + 1 if len(outside) else 0
        return self.kept[after] if after < len(self.kept) else None

    @property
    def gains(self) -> Array:
        """What each target's loss falls by through the tokens beyond ``SHORT`` back."""
        short = max(i for i, n in enumerate(self.contexts) if n <= SHORT)
        gains: Array = self.losses[short] - self.losses[-1]
        return gains


def why_not(model: RecurrentModel, stream: TokenStream | None) -> str | None:
    """Why memory length does not apply; None where it does."""
    if stream is None:
        return "memory length needs running text, and this task reads separate sequences"
    if model.recurrence.directions == 2 or model.readout != "every":
        return "memory length needs a model that predicts each next token from those before it"
    if not isinstance(model.head, Distribution):
        return "memory length needs a head with one distribution over tokens"
    if len(stream.ids) < 8:
        return "memory length needs a split of at least eight tokens"
    return None


@torch.no_grad()
def memory_length(model: RecurrentModel, stream: TokenStream, targets: int) -> MemoryLength:
    """Measure what context is worth, on targets from random places.

    Each context is read from the initial state. ``model`` is in evaluation.

    Args:
        targets: how many; half as many where the order is shuffled.
    """
    longest = max(n for n in CONTEXTS if n <= max(1, len(stream.ids) // 2))
    contexts = tuple(n for n in CONTEXTS if n <= longest)
    read = windows(stream.ids, longest, targets)
    places = read[-1] + 1
    wanted = stream.ids[places].astype(np.int64)
    rows = stream.ids[read].astype(np.int64)
    losses = np.stack([_loss(model, rows[longest - n :], wanted) for n in contexts])
    kept = tuple(n for n in KEPT if n < longest)
    half = max(1, len(places) // 2)
    some = np.random.default_rng(SEED).permutation(len(places))[:half]
    return MemoryLength(
        places,
        contexts,
        losses,
        _groups(stream, wanted),
        kept,
        np.array([_shuffled(model, rows[:, some], wanted[some], n) for n in kept]),
        float(losses[-1, some].mean()),
        _by_position(model, rows[:, some], stream.ids[read[:, some] + 1].astype(np.int64)),
    )


@torch.no_grad()
def token_losses(model: RecurrentModel, stream: TokenStream, tokens: int) -> Array:
    """The loss of each of a stream's first tokens, the state carried, in nats ``[tokens]``."""
    ids = stream.ids[: tokens + 1].astype(np.int64)
    inputs, targets = (torch.from_numpy(part)[:, None] for part in (ids[:-1], ids[1:]))
    states = None
    found = []
    for some, wanted in zip(inputs.split(1000), targets.split(1000), strict=True):
        hidden, states = model(some.to(_device(model)), states)
        found.append(_losses(model, hidden, wanted))
    return torch.cat(found)[:, 0].double().numpy()


def _loss(
    model: RecurrentModel, rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
) -> Array:
    """The loss ``[targets]`` after reading ``[time, targets]`` from the initial state."""
    inputs = torch.from_numpy(rows)
    states = None
    for some in inputs.split(max(1, CHUNK // inputs.shape[1])):
        hidden, states = model(some.to(_device(model)), states)
    return _losses(model, hidden[-1:], torch.from_numpy(wanted)[None])[0].double().numpy()


def _shuffled(
    model: RecurrentModel, rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], kept: int
) -> float:
    """The mean loss where all but the last ``kept`` tokens are in random order."""
    far = np.random.default_rng(SEED).permuted(rows[:-kept], axis=0)
    return float(_loss(model, np.concatenate([far, rows[-kept:]]), wanted).mean())


def _by_position(
    model: RecurrentModel, rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
) -> Array:
    inputs, targets = torch.from_numpy(rows), torch.from_numpy(wanted)
    states = None
    found = []
    size = max(1, CHUNK // inputs.shape[1])
    for some, next_ones in zip(inputs.split(size), targets.split(size), strict=True):
        hidden, states = model(some.to(_device(model)), states)
        found.append(_losses(model, hidden, next_ones).double().mean(1))
    return torch.cat(found).numpy()


def _losses(model: RecurrentModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of each target ``[time, batch]``, on the CPU."""
    assert isinstance(model.head, Distribution)
    targets = targets.to(hidden.device)
    rows = max(1, SCORES // model.head.classes)
    parts = zip(hidden.flatten(0, 1).split(rows), targets.flatten().split(rows), strict=True)
    found = [
        -model.head.log_probabilities(part).gather(-1, wanted[:, None])[:, 0]
        for part, wanted in parts
    ]
    return torch.cat(found).reshape(targets.shape).cpu()


def _groups(
    stream: TokenStream, wanted: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Thirds of the targets by their frequency in the training split, as far as it tells."""
    counts = np.pad(stream.counts, (0, max(0, int(wanted.max()) + 1 - len(stream.counts))))[wanted]
    lower, upper = np.quantile(counts, [1 / 3, 2 / 3])
    members = (counts > upper, (counts > lower) & (counts <= upper), counts <= lower)
    return {name: which for name, which in zip(GROUPS, members, strict=True) if which.any()}


def _device(model: RecurrentModel) -> torch.device:
    return next(model.parameters()).device

"""A trained cell as a dynamical system, driven by data: Lyapunov exponents, spectral radius,
effective rank, linear memory capacity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.cells.base import State
from unrolled.diagnostics.sample import SEED
from unrolled.diagnostics.trajectory import CellTrace, follow_encoded
from unrolled.models.model import RecurrentModel

EXPONENTS = 8
# Sequences and steps along which exponents are measured; directions align in the first ones.
SEQUENCES, STEPS, ALIGNING = 4, 200, 20
# Jacobians are averaged over so many steps, and made in full up to this size.
SAMPLED, LARGEST = 8, 1024
# Lags of the memory capacity, and steps before states are read.
LAGS, WASHOUT = 100, 100
STEPS_A_WEIGHT = 8

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dynamics:
    """How a cell's state goes on.

    Attributes:
        exponents: the leading Lyapunov exponents, per step, the largest first; infinite where the
            state does not carry a direction at all.
        spectral_radius: of the mean Jacobian of a step; None where the state is too wide.
        effective_rank: of what the cell gives out.
    """

    exponents: Array
    spectral_radius: float | None
    effective_rank: float


def dynamics(trace: CellTrace, rows: Tensor | None = None) -> Dynamics:
    """Exponents, spectral radius and effective rank of a cell along its trajectory.

    Args:
        rows: which steps are not padding, ``[time, batch]``; None: all.

    Raises:
        FloatingPointError: the Jacobian of a step is not finite.
    """
    time = len(trace.z) if rows is None else int(rows.sum(0).min())
    last = min(time, STEPS)
    exponents = lyapunov_exponents(trace, time - last, time, min(SEQUENCES, trace.z.shape[1]))
    radius = None
    size = sum(part.shape[-1] for part in trace.states[0])
    if size <= LARGEST:
        steps = np.unique(np.linspace(time // 2, time - 1, SAMPLED).round().astype(int))
        jacobians = [jacobian(trace, int(t))[0] for t in steps]
        mean = torch.stack(jacobians).mean(0)
        radius = float(torch.linalg.eigvals(mean).abs().max())
    outputs = trace.outputs.detach().flatten(0, 1)
    kept = outputs if rows is None else outputs[rows.flatten()]
    return Dynamics(exponents, radius, effective_rank(kept))


def lyapunov_exponents(
    trace: CellTrace,
    start: int,
    stop: int,
    sequences: int,
    count: int = EXPONENTS,
    aligning: int = ALIGNING,
) -> Array:
    """The leading Lyapunov exponents between two steps, a mean over sequences.

    Benettin et al. 1980, by QR; on the transposed Jacobians from the last step back, whose
    products have the same singular values and which reverse-mode differentiation gives of any
    cell that can be trained.

    Args:
        aligning: in so many steps the directions turn to where they stay, and nothing is counted.

    Raises:
        FloatingPointError: the Jacobian of a step is not finite.
    """
    size = sum(part.shape[-1] for part in trace.states[0])
    count = min(count, size)
    generator = torch.Generator().manual_seed(SEED)
    start_at = torch.randn(sequences, size, count, generator=generator, dtype=trace.z.dtype)
    directions = torch.linalg.qr(start_at.to(trace.z.device)).Q
    aligning = min(aligning, (stop - start) // 2)
    total = torch.zeros(count, dtype=trace.z.dtype, device=trace.z.device)
    for number, t in enumerate(range(stop - 1, start - 1, -1)):
        pulled = _pull(trace, t, sequences, directions)
        _require_finite(pulled, trace, t)
        directions, stretched = torch.linalg.qr(pulled)
        if number >= aligning:
            total += stretched.diagonal(dim1=-2, dim2=-1).abs().log().mean(0)
    exponents: Array = (total / (stop - start - aligning)).cpu().numpy()
    return np.sort(exponents)[::-1]


def jacobian(trace: CellTrace, t: int) -> Tensor:
    """The Jacobian ``[1, size, size]`` of the first sequence's step ``t``, new state by old.

    Raises:
        FloatingPointError: it is not finite.
    """
    size = sum(part.shape[-1] for part in trace.states[0])
    whole = torch.eye(size, dtype=trace.z.dtype, device=trace.z.device)[None]
    found = _pull(trace, t, 1, whole).mT
    _require_finite(found, trace, t)
    return found


def effective_rank(states: Tensor) -> float:
    """exp of the entropy of the singular values' shares (Roy & Vetterli 2007), of the states
    ``[rows, units]`` about their mean; 0 where they do not vary."""
    singular = torch.linalg.svdvals((states - states.mean(0)).double())
    if not float(singular.sum()) > 0:
        return 0.0
    shares = singular / singular.sum()
    return float(torch.exp(torch.special.entr(shares).sum()))


@torch.no_grad()
def memory_capacity(
    model: RecurrentModel, encoded: Tensor, tokens: int, lags: int = LAGS
) -> Array:
    """What share of a random input's variance a linear readout of the states recovers, by how many
    steps it lies back: ``[lags]`` from lag 1 on; their sum is the capacity.

    Jaeger 2001, GMD report 152: at most as many as there are units. The inputs are the data's own,
    in random order, so that none tells of another; the signal is their first principal component.
    The readout is fitted to one half of the steps and judged on the other.

    Args:
        encoded: what the encoder gives on data, ``[rows, size]``.
        tokens: how many random inputs are read; more where the states are wide.
    """
    generator = torch.Generator().manual_seed(SEED)
    # As long as the lags need, side by side so that it is fast.
    time = WASHOUT + lags + 8 * lags
    first = max(WASHOUT, lags)
    # With few steps for each weight of the readout, its noise would hide what it recovers.
    enough = 2 * STEPS_A_WEIGHT * model.recurrence.state_size() // (time - first) + 1
    batch = max(2, tokens // time, enough)
    drawn = torch.randint(len(encoded), (time, batch), generator=generator)
    x = encoded[drawn.to(encoded.device)]
    centred = encoded - encoded.mean(0)
    component = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    signal = (x - encoded.mean(0)) @ component
    if not float(signal.std()) > 0:
        return np.zeros(lags)
    _, traces = follow_encoded(model, x)
    states = torch.cat(
        [torch.stack([torch.cat(s, -1) for s in trace.states[1 + first :]]) for trace in traces],
        -1,
    )
    targets = torch.stack([signal[first - lag : time - lag] for lag in range(1, lags + 1)], -1)
    half = batch // 2
    fit, judge = (part.flatten(0, 1) for part in (states[:, :half], states[:, half:]))
    known, asked = (part.flatten(0, 1) for part in (targets[:, :half], targets[:, half:]))
    answer = _Regression(fit, known)(judge)
    left = (asked - answer).square().sum(0) / (asked - asked.mean(0)).square().sum(0)
    shares: Array = (1 - left).clamp(min=0).cpu().numpy()
    return shares


class _Regression:
    """Ridge regression of ``[rows, targets]`` on ``[rows, features]``, its penalty a rounding."""

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        self.mean, self.offset = features.mean(0), targets.mean(0)
        centred = features - self.mean
        gram = centred.T @ centred
        penalty = 1e-9 * gram.diagonal().mean().clamp(min=1e-300)
        gram.diagonal().add_(penalty)
        self.weights = torch.linalg.solve(gram, centred.T @ (targets - self.offset))

    def __call__(self, features: Tensor) -> Tensor:
        answer: Tensor = (features - self.mean) @ self.weights + self.offset
        return answer


def _pull(trace: CellTrace, t: int, sequences: int, directions: Tensor) -> Tensor:
    """The transposed Jacobian of step ``t`` times ``directions`` ``[sequences, size, count]``.

    The rows of a batch do not see each other, so a step of ``count`` copies of each sequence gives
    a product for each of them in one backward pass.
    """
    count = directions.shape[-1]
    old: State = tuple(
        part[:sequences].detach().repeat_interleave(count, 0).requires_grad_()
        for part in trace.states[t]
    )
    z = trace.z[t, :sequences].detach().repeat_interleave(count, 0)
    with torch.enable_grad():
        new = trace.step(z, old)
    widths = [part.shape[-1] for part in old]
    wanted = directions.mT.flatten(0, 1).split(widths, -1)
    pairs = [(part, d) for part, d in zip(new, wanted, strict=True) if part.requires_grad]
    if not pairs:
        return torch.zeros_like(directions)
    found: Sequence[Tensor | None] = torch.autograd.grad(
        [part for part, _ in pairs], old, [d for _, d in pairs], allow_unused=True
    )
    filled = [torch.zeros_like(o) if g is None else g for g, o in zip(found, old, strict=True)]
    products: Tensor = torch.cat(filled, -1).unflatten(0, (sequences, count))
    return products.mT


def _require_finite(values: Tensor, trace: CellTrace, t: int) -> None:
    if not bool(values.isfinite().all()):
        raise FloatingPointError(
            f"{trace.name}: the Jacobian of {type(trace.cell).__name__}'s step {t + 1} is not "
            "finite"
        )

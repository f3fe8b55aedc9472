from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor

from unrolled.cells.base import State
from unrolled.cells.slstm import SLSTM
from unrolled.errors import ConfigError

HEADS, SIZE, HIDDEN = 2, 3, 6


def make(**options: Any) -> SLSTM:
    torch.manual_seed(3)
    cell = SLSTM(4, HIDDEN, heads=HEADS, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    return cell


def truth(state: State) -> tuple[Tensor, Tensor]:
    """c and n as the paper's eqs. 8 and 9 have them, without the stabilizer."""
    return state[1] * state[3].exp(), state[2] * state[3].exp()


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
def test_the_steps_are_the_published_equations_without_a_stabilizer(forget_gate: str) -> None:
    cell = make(forget_gate=forget_gate)
    W = cell.weight_ih.detach().numpy().reshape(4, HEADS, SIZE, 4).swapaxes(0, 1)
    b = cell.bias_ih.detach().numpy().reshape(4, HEADS, SIZE).swapaxes(0, 1)
    R = cell.weight_hh.detach().numpy().reshape(HEADS, SIZE, 4, SIZE)
    x = torch.randn(6, 4, dtype=torch.float64)
    state = cell.initial_state(1, x)
    h, c, n = (np.zeros((HEADS, SIZE)) for _ in range(3))
    for row in x:
        with torch.no_grad():
            state = cell.step(cell.project(row[None]), state)
        old = h.copy()
        for head in range(HEADS):
            z, i, f, o = (
                W[head, gate] @ row.numpy() + R[head, :, gate].T @ old[head] + b[head, gate]
                for gate in range(4)
            )
            f = expit(f) if forget_gate == "sigmoid" else np.exp(f)
            c[head] = f * c[head] + np.exp(i) * np.tanh(z)
            n[head] = f * n[head] + np.exp(i)
            h[head] = expit(o) * c[head] / n[head]
        found_c, found_n = truth(state)
        np.testing.assert_allclose(state[0][0].numpy(), h.ravel(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found_c[0].numpy(), c.ravel(), rtol=1e-12)
        np.testing.assert_allclose(found_n[0].numpy(), n.ravel(), rtol=1e-12)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
@pytest.mark.parametrize("size", [-1e4, -200.0, 200.0, 1e4])
def test_gate_inputs_of_any_size_stay_finite_from_the_first_step(
    forget_gate: str, size: float
) -> None:
    torch.manual_seed(3)
    cell = SLSTM(4, 8, forget_gate=forget_gate)  # type: ignore[arg-type]
    z = (size * torch.rand(20, 2, 32)).requires_grad_()
    state = cell.initial_state(2, z)
    outputs = []
    for now in z:
        state = cell.step(now, state)
        outputs.append(state[0])
    h = torch.stack(outputs)
    # h is an average of tanh(z) behind a gate.
    assert h.abs().max() <= 1 + 1e-6
    assert all(torch.isfinite(part).all() for part in state)
    gradients = torch.autograd.grad(h.sum(), [z, cell.weight_hh])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("size", [-300.0, 300.0])
def test_the_first_step_writes_all_of_its_input(size: float) -> None:
    cell = SLSTM(4, 4, heads=1)
    z, i, f, o = torch.randn(4, 1, 4)
    h, *_ = cell.step(torch.cat([z, i + size, f, o], dim=1), cell.initial_state(1, z))
    torch.testing.assert_close(h, torch.sigmoid(o) * torch.tanh(z))


def memories() -> tuple[State, State]:
    """An old and a new state whose stabilizers are far apart, either way."""
    torch.manual_seed(4)
    old = tuple(torch.rand(2, 4, dtype=torch.float64) + 0.5 for _ in range(4))
    new = tuple(torch.rand(2, 4, dtype=torch.float64) + 0.5 for _ in range(4))
    apart = torch.tensor([8.0, -8.0, 0.5, 0.0], dtype=torch.float64)
    return old, (*new[:3], old[3] + apart)


def test_zoneout_in_evaluation_mixes_the_true_memories() -> None:
    cell = SLSTM(4, 4)
    old, new = memories()
    keep = tuple(torch.tensor(rate, dtype=torch.float64) for rate in (0.1, 0.3, 0.9, 0.7))
    mixed = cell.apply_zoneout(old, new, keep)
    torch.testing.assert_close(mixed[0], 0.1 * old[0] + 0.9 * new[0])
    for found, before, after in zip(truth(mixed), truth(old), truth(new), strict=True):
        torch.testing.assert_close(found, 0.3 * before + 0.7 * after)


def test_zoneout_in_training_keeps_or_replaces_c_n_and_m_together() -> None:
    cell = SLSTM(4, 4)
    old, new = memories()
    # Apart by more than the smallest number: neither may be measured by the other's stabilizer.
    old = (*old[:3], old[3] + torch.tensor([2000.0, 2000.0, -2000.0, -2000.0]))
    masks = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    keep = (1 - masks, masks, 1 - masks, 1 - masks)
    mixed = cell.apply_zoneout(old, new, keep)
    for part, share in enumerate((1 - masks, masks, masks, masks)):
        torch.testing.assert_close(mixed[part], torch.where(share == 1, old[part], new[part]))


def test_zoneout_can_keep_the_initial_state() -> None:
    cell = SLSTM(4, 4)
    z = torch.randn(2, 2, 16, requires_grad=True)
    initial = cell.initial_state(2, z)
    keep = (torch.ones(2, 4),) * 4
    kept = cell.apply_zoneout(initial, cell.step(z[0], initial), keep)
    assert all(torch.equal(one, other) for one, other in zip(kept, initial, strict=True))
    after = cell.step(z[1], kept)
    torch.testing.assert_close(after, cell.step(z[1], initial))
    (gradient,) = torch.autograd.grad(after[0].sum(), z)
    assert torch.isfinite(gradient).all()


def test_it_starts_as_the_authors_code_does() -> None:
    torch.manual_seed(3)
    cell = SLSTM(50, 400, heads=4)
    bias = cell.bias_ih.view(4, 4, 100).swapaxes(0, 1)
    assert cell.weight_hh.count_nonzero() == 0
    assert abs(cell.weight_ih.std() / (2 / (5 * 50)) ** 0.5 - 1) < 0.02
    assert bias[:, [0, 1, 3]].count_nonzero() == 0
    power_law = 5 - 12 * (np.arange(100) / 99) ** 0.3
    for head in bias[:, 2].detach().numpy():
        np.testing.assert_allclose(head, power_law, rtol=0, atol=1e-5)


def test_heads_of_one_unit_start_finite() -> None:
    assert torch.isfinite(SLSTM(4, 4, heads=4).bias_ih).all()


def test_the_forget_bias_is_set_alone() -> None:
    cell = make()
    old = cell.bias_ih.detach().clone().view(4, HEADS, SIZE).swapaxes(0, 1)
    cell.set_forget_bias(1.5)
    new = cell.bias_ih.view(4, HEADS, SIZE).swapaxes(0, 1)
    assert torch.equal(new[:, 2], torch.full_like(new[:, 2], 1.5))
    assert torch.equal(new[:, [0, 1, 3]], old[:, [0, 1, 3]])


def test_half_precision_activations_are_computed_in_single() -> None:
    cell = SLSTM(4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        z = cell.project(torch.randn(3, 4))
        state = cell.step(z, cell.initial_state(3, torch.zeros(1, dtype=torch.bfloat16)))
    assert {part.dtype for part in (z, *state)} == {torch.float32}
    assert all(torch.isfinite(part).all() for part in state)


def test_hidden_sizes_are_multiples_of_the_heads() -> None:
    assert SLSTM.size_multiple(heads=6, forget_gate="exp") == 6
    assert SLSTM.size_multiple() == 4
    with pytest.raises(ConfigError, match=r"cell\.heads=4 does not divide model\.hidden_size=6"):
        SLSTM(4, 6)


def test_an_option_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.heads=0"):
        SLSTM(4, 4, heads=0)
    with pytest.raises(ConfigError, match=r"cell\.forget_gate=tanh: choose sigmoid or exp"):
        SLSTM(4, 4, forget_gate="tanh")  # type: ignore[arg-type]

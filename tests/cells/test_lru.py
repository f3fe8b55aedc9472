import math

import numpy as np
import pytest
import torch
from scipy.special import erf

from unrolled.cells.base import State
from unrolled.cells.lru import LRU
from unrolled.errors import ConfigError


@pytest.mark.parametrize("activation", ["gelu", "none"])
def test_the_steps_are_the_published_equations(activation: str) -> None:
    torch.manual_seed(3)
    cell = LRU(4, 5, activation=activation).double()  # type: ignore[arg-type]
    p = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    eigenvalues = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    B = p["weight_ih"][:5] + 1j * p["weight_ih"][5:10]
    C = p["weight_ho"][:, :5] - 1j * p["weight_ho"][:, 5:]
    D = p["weight_ih"][10:]
    x = torch.randn(6, 4, dtype=torch.float64)
    state: State = tuple(torch.randn(2, 1, 5, dtype=torch.float64))
    s = state[0][0].numpy() + 1j * state[1][0].numpy()
    for row in x:
        with torch.no_grad():
            z = cell.project(row[None])
            state = cell.step(z, state)
            y = cell.output(z, state)
        s = eigenvalues * s + np.exp(p["gamma_log"]) * (B @ row.numpy())
        h = (C @ s).real + D @ row.numpy()
        if activation == "gelu":
            h = h * (1 + erf(h / np.sqrt(2))) / 2
        np.testing.assert_allclose(state[0][0].numpy(), s.real, rtol=0, atol=1e-12)
        np.testing.assert_allclose(state[1][0].numpy(), s.imag, rtol=0, atol=1e-12)
        np.testing.assert_allclose(y[0].numpy(), h, rtol=0, atol=1e-12)


def test_the_eigenvalues_start_in_their_ring_and_the_state_at_the_input_s_variance() -> None:
    torch.manual_seed(3)
    cell = LRU(4, 4000, r_min=0.8, r_max=0.9, max_phase=0.5)
    eigenvalues = cell.coefficients(cell.project(torch.zeros(1, 4)))[0]
    radius, phase = eigenvalues.abs(), eigenvalues.angle()
    assert 0.8 - 1e-6 < radius.min() < 0.801
    assert 0.899 < radius.max() < 0.9 + 1e-6
    # Even over the area of the ring, so over the square of the radius.
    assert abs(radius.square().mean() - (0.8**2 + 0.9**2) / 2) < 0.005
    assert 0 < phase.min() < 0.01
    assert 0.49 < phase.max() <= 0.5
    torch.testing.assert_close(cell.gamma_log.exp().square() + radius.square(), torch.ones(4000))


def test_the_matrices_start_with_the_paper_s_variances() -> None:
    torch.manual_seed(3)
    cell = LRU(50, 400)
    B, D = cell.weight_ih[:800], cell.weight_ih[800:]
    assert abs(B.std() * math.sqrt(2 * 50) - 1) < 0.02
    assert abs(D.std() * math.sqrt(50) - 1) < 0.02
    assert abs(cell.weight_ho.std() * math.sqrt(400) - 1) < 0.02


@pytest.mark.parametrize(("r_min", "r_max"), [(0.0, 1e-30), (1 - 1e-9, 1.0)])
def test_the_ends_of_the_ring_have_gradients(r_min: float, r_max: float) -> None:
    torch.manual_seed(3)
    # Draws that single precision rounds to |λ| = 0 or 1, and to a phase of 0.
    cell = LRU(1, 100, r_min=r_min, r_max=r_max, max_phase=1e-50)
    assert all(torch.isfinite(parameter).all() for parameter in cell.parameters())
    a, b = cell.coefficients(cell.project(torch.ones(1, 1)))
    leaves = [cell.nu_log, cell.theta_log, cell.gamma_log]
    scalar = a.real.sum() + a.imag.sum() + b.real.sum()
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(scalar, leaves))


def test_half_precision_activations_are_computed_in_single() -> None:
    cell = LRU(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        z = cell.project(torch.randn(3, 4))
        assert cell.coefficients(z)[1].dtype == torch.complex64
        state = cell.step(z, cell.initial_state(3, torch.zeros(1, dtype=torch.bfloat16)))
        assert [part.dtype for part in state] == [torch.float32] * 2
        assert torch.isfinite(cell.output(z, state)).all()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"r_min": 0.9, "r_max": 0.5}, "r_min"),
        ({"r_max": 1.5}, "r_max"),
        ({"max_phase": 0.0}, "max_phase"),
        ({"max_phase": 7.0}, "max_phase"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=f"cell.{key}={options[key]}"):
        LRU(4, 5, **options)  # type: ignore[arg-type]


def test_another_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.activation=relu: choose gelu or none"):
        LRU(4, 5, activation="relu")  # type: ignore[arg-type]

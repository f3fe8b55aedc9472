"""The linear recurrent unit."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import State
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError

ACTIVATIONS = ("gelu", "none")


class LRU(LinearCell):
    """Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De, ICML 2023 (arXiv 2303.06349), eq. 7
    and appendix A.

    λ = exp(-exp(ν) + i exp(θ))
    s_t = λ ⊙ s_{t-1} + exp(γ) ⊙ (B x_t)
    y_t = Re(C s_t) + D x_t
    h_t = GELU(y_t)

    s, λ, B and C are complex; ν, θ and γ are the logarithms that the paper trains. D is a vector
    in the paper, whose inputs are as wide as its outputs; here it is a matrix, so that they need
    not be. The recurrence alone is linear, and the paper's block puts a nonlinearity behind it:
    ``activation`` is that of the authors' block.

    State: ``re`` and ``im`` of s, ``[batch, hidden_size]`` each, in float32 at least.
    Initialization: the paper's. |λ|² from U(r_min², r_max²), the phase exp(θ) from
    U(0, max_phase), exp(γ) = √(1 - |λ|²), the parts of B from N(0, 1/(2 input_size)), those of C
    from N(0, 1/hidden_size); D from N(0, 1/input_size), which gives D x the variance that the
    paper's D gives it.

    Args:
        r_min: the smallest |λ| at the start; near 1 for long memories.
        r_max: the largest |λ| at the start, at most 1.
        max_phase: the largest phase at the start, in radians; small for slow oscillations.
        activation: ``gelu``, or ``none`` where what follows is nonlinear.

    Raises:
        ConfigError: an option out of its range.
    """

    state_names = ("re", "im")
    recurrent_weights = ()
    gating = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        activation: Literal["gelu", "none"] = "gelu",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not 0 <= r_min < r_max <= 1:
            raise ConfigError(
                f"cell.r_min={r_min} and cell.r_max={r_max}: need 0 <= r_min < r_max <= 1"
            )
        if not 0 < max_phase <= 2 * math.pi:
            raise ConfigError(f"cell.max_phase={max_phase}: must be above 0 and at most 2π")
        if activation not in ACTIVATIONS:
            raise ConfigError(f"cell.activation={activation}: choose {' or '.join(ACTIVATIONS)}")
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase
        self.activation = activation
        self.nu_log = nn.Parameter(torch.empty(hidden_size))
        self.theta_log = nn.Parameter(torch.empty(hidden_size))
        self.gamma_log = nn.Parameter(torch.empty(hidden_size))
        # Re B, Im B and D: one product for the input.
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        # Re C beside -Im C, so that their product with (re, im) is Re(C s).
        self.weight_ho = nn.Parameter(torch.empty(hidden_size, 2 * hidden_size))

    def reset_parameters(self) -> None:
        with torch.no_grad():
            # Off 0 and 1, where the logarithms are infinite and their gradients not numbers.
            tiny = torch.finfo(torch.float32).eps
            square = torch.empty_like(self.nu_log).uniform_(self.r_min**2, self.r_max**2)
            square.clamp_(tiny, 1 - tiny)
            self.nu_log.copy_((-0.5 * square.log()).log())
            phase = torch.empty_like(self.theta_log).uniform_(0, self.max_phase)
            self.theta_log.copy_(phase.clamp_(min=tiny).log())
            self.gamma_log.copy_(0.5 * torch.log1p(-square))
        parts = 2 * self.hidden_size
        nn.init.normal_(self.weight_ih[:parts], std=(2 * self.input_size) ** -0.5)
        nn.init.normal_(self.weight_ih[parts:], std=self.input_size**-0.5)
        nn.init.normal_(self.weight_ho, std=self.hidden_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return _full(F.linear(x, self.weight_ih))

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        nu, theta = torch.exp(_full(self.nu_log)), torch.exp(_full(self.theta_log))
        a = torch.polar(torch.exp(-nu), theta)
        re, im, _ = z.chunk(3, dim=-1)
        gamma = torch.exp(self.gamma_log)
        return a, torch.complex(gamma * re, gamma * im)

    def pack_state(self, state: State) -> Tensor:
        return torch.complex(_full(state[0]), _full(state[1]))

    def unpack_state(self, s: Tensor) -> State:
        return s.real, s.imag

    def output(self, z: Tensor, state: State) -> Tensor:
        s = torch.cat(state, dim=-1).to(self.weight_ho.dtype)
        y = F.linear(s, self.weight_ho) + z.chunk(3, dim=-1)[2]
        return F.gelu(y) if self.activation == "gelu" else y


def _full(x: Tensor) -> Tensor:
    """At least float32: complex numbers have no half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

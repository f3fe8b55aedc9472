"""Generated C code is the step it was made from, whatever a step of anybody's is made of."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.errors import ConfigError
from unrolled.kernels import library
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.generated import missing
from unrolled.recurrence.stack import Recurrence

Fixture = Callable[..., Any]
CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


class Own(Cell):
    """A cell from outside: a matrix for the input and one for the state, and a step to write."""

    def __init__(self, input_size: int, hidden_size: int, gates: int = 1) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.rate = nn.Parameter(torch.empty(()))
        self.scale = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.4)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(z + h @ self.weight_hh.T),)


class Leak(Own):
    """A rate for all units, one for each, and both in other functions than a product."""

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        rate = torch.sigmoid(self.rate)
        new = z + F.linear(h, self.weight_hh * torch.tanh(self.scale))
        return (rate * h + (1 - rate) * torch.tanh(new * self.scale.exp() - self.scale),)


class Pieces(Own):
    """Parts of a row, some of them joined again, read in another order and one alone."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, 2)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        n = self.hidden_size
        first, second = (z + F.linear(h, self.weight_hh)).split(n, dim=-1)
        turned = torch.cat([second[:, n // 2 :], torch.relu(first[:, : n // 2])], -1)
        alone = h[:, 0:1] * first.select(1, 1).unsqueeze(1)
        return (torch.tanh(turned + alone * 0.3) + 0.1 * h.narrow(-1, 0, n),)


class Normalized(Own):
    """Norms, means and the largest of a row."""

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        h = h / (h.pow(2).sum(-1, keepdim=True) + 1e-3).sqrt()
        new = z + F.linear(h - h.mean(-1, keepdim=True), self.weight_hh)
        new = F.layer_norm(new, (self.hidden_size,), self.scale)
        soft = torch.softmax(new, -1)
        return (torch.tanh(new) * soft + new.var(-1, keepdim=True) * 0.1,)


class Detached(Own):
    """A gradient that stops where an operation says so."""

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(z + F.linear(h.detach(), self.weight_hh)) * self.scale.detach() + h,)


class Bounded(Own):
    """Functions with corners, and choices number by number."""

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        new = z + F.linear(h, self.weight_hh, self.scale)
        new = torch.where(new > 0.5, F.softplus(new), F.leaky_relu(new, 0.2))
        new = torch.maximum(new.clamp(-2.0, 2.0), 0.1 * h.abs())
        return (F.hardtanh(new) + F.silu(new) * 0.1 + F.elu(new) * F.gelu(h) / 3,)


class Deep(Own):
    """Two parts of a state, and products of what products gave."""

    state_names = ("h", "c")

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        for _ in range(2):
            h = torch.tanh(F.linear(torch.sin(h), self.weight_hh) + z)
            c = torch.lerp(c, h, 0.25)
        return c * torch.cos(h), c

    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0] + state[1] * z


class Heads(Own):
    """A matrix for each of two heads, whose units are turned round each other."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_heads = nn.Parameter(torch.empty(2, hidden_size // 2, hidden_size // 2))
        self.reset_parameters()

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        heads = h.unflatten(1, (2, -1)).transpose(0, 1)
        read = torch.matmul(heads, self.of_heads).unflatten(2, (2, -1)).permute(1, 2, 0, 3)
        return (torch.tanh(z + read.flatten(1)),)


class Unused(Own):
    """A part of the state that nothing reads, and one that stays as it is."""

    state_names = ("h", "clock", "kept")

    def step(self, z: Tensor, state: State) -> State:
        h, clock, kept = state
        return torch.tanh(z + F.linear(h, self.weight_hh)), clock * 0 + 1, kept


OWN = [Own, Leak, Pieces, Normalized, Detached, Bounded, Deep, Heads, Unused]


def both(make: Any, **options: Any) -> tuple[Recurrence, Recurrence]:
    """A layer by generated code and the same by the plain loop."""
    torch.manual_seed(1)
    generated = Recurrence(make, 3, 8, backend="generated", **options)
    eager = Recurrence(make, 3, 8, backend="eager", **options)
    eager.load_state_dict(generated.state_dict())
    return generated, eager


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        scale = max(float(other.detach().abs().max()), 1e-3)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * scale)


def results(layer: Recurrence, x: Tensor, with_gradients: Fixture, **given: Any) -> list[Tensor]:
    x = x.clone().requires_grad_()
    states = tuple(
        tuple((0.3 + 0.1 * i + torch.zeros_like(p)).requires_grad_() for i, p in enumerate(state))
        for state in layer.initial_states(x.shape[1], x.detach())
    )
    y, final = layer(x, states, **given)
    flat = [part for state in final for part in state]
    starts = [part for state in states for part in state]
    found: list[Tensor] = with_gradients([y, *flat], [x, *starts, *layer.parameters()])
    return found


@pytest.mark.parametrize("make", OWN)
def test_a_cell_of_anybodys_is_its_loop(make: Any, with_gradients: Fixture) -> None:
    layers = both(make)
    x = torch.randn(9, 4, 3)
    close(*(results(layer, x, with_gradients) for layer in layers))


@pytest.mark.parametrize("make", [Leak, Pieces, Deep])
@pytest.mark.parametrize("threads", [1, 2])
def test_unequal_lengths_in_both_directions(
    make: Any, threads: int, with_gradients: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a small layer is shared out, too.
    monkeypatch.setattr("unrolled.recurrence.generated.layer.SHARE", 10)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layers = both(make, bidirectional=True, layers=2)
        x, lengths = torch.randn(7, 5, 3), torch.tensor([3, 7, 1, 5, 7])
        close(*(results(layer, x, with_gradients, lengths=lengths) for layer in layers))
    finally:
        torch.set_num_threads(before)


def test_without_gradients_and_in_halves_it_is_the_same() -> None:
    generated, _ = both(Deep)
    x = torch.randn(12, 4, 3)
    whole, final = generated(x)
    with torch.no_grad():
        first, carried = generated(x[:5])
        second, end = generated(x[5:], carried)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(map(torch.equal, end[0], final[0]))


def test_what_an_evaluation_asks_for_first_is_for_training_too() -> None:
    layer, x = Recurrence(Leak, 3, 8), torch.randn(9, 2, 3)
    for once in (torch.inference_mode, torch.no_grad):
        with once():
            assert layer.backend_on(CPU, 2) == "generated"
            expected = layer(x)[0]
    y, _ = layer(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    assert all(one.grad is not None for one in layer.parameters())


def test_a_repeated_run_and_any_batch_give_the_same_digits(with_gradients: Fixture) -> None:
    generated, _ = both(Normalized)
    x = torch.randn(9, 5, 3)
    one, two = (results(generated, x, with_gradients) for _ in range(2))
    assert all(map(torch.equal, one, two))
    assert torch.equal(generated(x[:, 2:3])[0], generated(x)[0][:, 2:3])


def test_a_frozen_parameter_gets_no_gradient() -> None:
    generated, _ = both(Leak)
    parameters = dict(generated.named_parameters())
    parameters["cells.0.scale"].requires_grad_(False)
    generated(torch.randn(9, 2, 3))[0].sum().backward()
    assert parameters["cells.0.scale"].grad is None
    reached = parameters["cells.0.weight_hh"].grad
    assert reached is not None
    assert reached.ne(0).all()


def test_weight_dropout_reaches_the_code(with_gradients: Fixture) -> None:
    layers = both(Own, regularization=RecurrentRegularization(weight_dropout=0.5))
    x, found = torch.randn(9, 4, 3), []
    for layer in layers:
        torch.manual_seed(4)
        found.append(results(layer, x, with_gradients))
    close(*found)


def test_under_autocast_all_steps_stay_in_fp32() -> None:
    generated, _ = both(Leak)
    x = torch.randn(9, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, ((h,),) = generated(x)
    assert y.dtype == h.dtype == torch.float32
    # The projection alone is rounded.
    torch.testing.assert_close(y, generated(x)[0], rtol=0, atol=0.05)
    assert not torch.equal(y, generated(x)[0])


def test_auto_takes_it_where_nothing_else_is_faster() -> None:
    layer = Recurrence(Leak, 3, 8)
    assert layer.backend_on(CPU, 4) == "generated"
    # A few steps are not worth arranging the weights for.
    assert layer.backend_on(CPU, 4, 1) == "eager"
    dropped = Recurrence(Leak, 3, 8, regularization=RecurrentRegularization(recurrent_dropout=0.1))
    assert dropped.backend_on(CPU, 4) == "eager"
    assert layer.double().backend_on(CPU, 4) == "eager"


# What PyTorch has, at the edges of its numbers, too.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(torch, name) for name in ("exp", "log", "log1p", "expm1", "sigmoid", "tanh")},
    **{name: getattr(torch, name) for name in ("sqrt", "rsqrt", "sin", "erf", "abs", "sign")},
    **{name: getattr(F, name) for name in ("relu", "softplus", "logsigmoid", "silu", "gelu")},
    **{name: getattr(F, name) for name in ("elu", "mish", "leaky_relu", "hardtanh", "selu")},
    **{f"power {power}": partial(torch.pow, exponent=power) for power in (-1, 0.5, 2, 3, 4)},
}


def test_functions_of_one_number_are_pytorchs() -> None:
    class Applied(Own):
        def project(self, x: Tensor) -> Tensor:
            return x

        def step(self, z: Tensor, state: State) -> State:
            return (torch.cat([function(z) for function in FUNCTIONS.values()], -1),)

    edges = [0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38, torch.inf, -torch.inf, torch.nan, 88.5, -1.0]
    x = torch.cat([torch.tensor(edges), torch.linspace(-12, 12, 613), torch.logspace(-12, 5, 400)])
    x = x.view(8, -1, 1).repeat(1, 1, 8)
    layer = Recurrence(Applied, 8, 8 * len(FUNCTIONS), backend="generated")
    with torch.no_grad():
        results = layer(x)[0].split(8, -1)
    for found, (name, function) in zip(results, FUNCTIONS.items(), strict=True):
        exact = function(x.double()).float()
        torch.testing.assert_close(
            *(found, exact),
            rtol=2e-6,
            atol=1e-7,
            equal_nan=True,
            msg=partial("{}: {}".format, name),
        )


def test_a_memory_that_begins_empty(named: Fixture) -> None:
    """The sLSTM's exponents begin at minus infinity."""
    generated, eager = both(named("slstm"))
    x, grads = torch.randn(9, 4, 3), []
    for layer in (generated, eager):
        layer(x)[0].square().sum().backward()
        grads.append([one.grad for one in layer.parameters() if one.grad is not None])
        assert all(one.isfinite().all() for one in grads[-1])
    close(grads[0], grads[1])


def test_a_constant_that_changes_is_seen() -> None:
    class Sloped(Own):
        slope = 1.0

        def step(self, z: Tensor, state: State) -> State:
            return (self.slope * z + 0.5 * state[0],)

    generated, eager = both(Sloped)
    x = torch.randn(9, 2, 3)
    for slope in (1.0, 2.0):
        for cell in (*generated.cells, *eager.cells):
            vars(cell)["slope"] = slope
        close([generated(x)[0]], [eager(x)[0]])


def test_a_buffer_is_read_as_it_is_now() -> None:
    class Masked(Own):
        mask: Tensor

        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.register_buffer("mask", torch.ones(hidden_size))

        def step(self, z: Tensor, state: State) -> State:
            return (torch.tanh(z + self.mask * state[0]),)

    generated, eager = both(Masked)
    x = torch.randn(9, 2, 3)
    for value in (1.0, 0.25):
        for buffer in (*generated.buffers(), *eager.buffers()):
            buffer.fill_(value)
        close([generated(x)[0]], [eager(x)[0]])


def test_a_program_within_torch_func_has_the_loop() -> None:
    layer = Recurrence(Leak, 3, 8)
    x = torch.randn(9, 2, 3)
    parameters: dict[str, Tensor] = dict(layer.named_parameters())

    def total(parameters: dict[str, Tensor]) -> Tensor:
        y: Tensor = torch.func.functional_call(layer, parameters, (x,))[0]
        return y.sum()

    found = torch.func.grad(total)(parameters)
    total(parameters).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


class Noisy(Own):
    def step(self, z: Tensor, state: State) -> State:
        return (z + torch.rand_like(z) * state[0],)


class Choosing(Own):
    def step(self, z: Tensor, state: State) -> State:
        return (z if state[0].sum() > 0 else z + state[0],)


class Counting(Own):
    count = 0

    def step(self, z: Tensor, state: State) -> State:
        self.count += 1
        return (torch.tanh(z + state[0]),)


class Noting(Own):
    gate: Tensor | None = None

    def step(self, z: Tensor, state: State) -> State:
        self.gate = torch.sigmoid(z)
        return (self.gate * state[0],)


class Listing(Own):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.seen: list[Tensor] = []

    def step(self, z: Tensor, state: State) -> State:
        self.seen.append(torch.sigmoid(z))
        return (self.seen[-1] * state[0],)


class ByNumpy(Own):
    def step(self, z: Tensor, state: State) -> State:
        return (z + torch.from_numpy(np.tanh(state[0].detach().numpy())),)


class Matrices(Own):
    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (z + (h.unsqueeze(2) @ h.unsqueeze(1)).mean(1),)


class Aside(Own):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.constant = torch.ones(hidden_size)

    def step(self, z: Tensor, state: State) -> State:
        return (z + self.constant * state[0],)


class Sorted(Own):
    def step(self, z: Tensor, state: State) -> State:
        return (z + state[0].sort(-1).values,)


class Surrogate(torch.autograd.Function):
    """A spike, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = 1 / (1 + x.abs()) ** 2
        return grad * slope


class Spiking(Own):
    def step(self, z: Tensor, state: State) -> State:
        spike = Surrogate.apply(state[0] - 1)  # type: ignore[no-untyped-call]
        return (z + 0.5 * state[0] - spike,)


class Stopped(Own):
    def step(self, z: Tensor, state: State) -> State:
        with torch.no_grad():
            gate = torch.sigmoid(self.scale * state[0])
        return (z + gate * state[0],)


UNABLE = {
    Spiking: "its gradient is not that of the operations in it",
    Stopped: "its gradient is not that of the operations in it",
    Noisy: "rand",
    Choosing: "cannot be traced",
    Counting: "sets attributes",
    Noting: "sets attributes",
    Listing: "sets attributes",
    ByNumpy: "cannot be traced",
    Matrices: r"mean|bmm|mul",
    Aside: "cannot be traced",
    Sorted: "sort",
}


@pytest.mark.parametrize(("make", "why"), UNABLE.items())
def test_what_no_code_can_be_generated_for_stays_with_the_loop(make: Any, why: str) -> None:
    layer = Recurrence(make, 3, 8)
    (cell,) = layer.cells
    before = {name: repr(value) for name, value in vars(cell).items()}
    assert layer.backend_on(CPU, 4) == "eager"
    # Nothing of the attempt is left in the cell.
    assert {name: repr(value) for name, value in vars(cell).items()} == before
    assert isinstance(cell, Cell)
    said = missing(cell, CPU)
    assert said is not None
    assert said.startswith(f"no C code for the step of {make.__name__}: ")
    layer(torch.randn(9, 2, 3))[0].sum().backward()
    with pytest.raises(ConfigError, match=rf"cell.backend=generated: no C code.*({why}).*eager"):
        Recurrence(make, 3, 8, backend="generated")(torch.randn(9, 2, 3))


@pytest.mark.parametrize("make", [Leak, Deep])
@pytest.mark.parametrize("training", [True, False])
def test_zoneout_keeps_the_same_units(make: Any, training: bool, with_gradients: Fixture) -> None:
    layers = both(make, regularization=RecurrentRegularization(zoneout=0.4))
    x, found = torch.randn(9, 4, 3), []
    for layer in layers:
        torch.manual_seed(4)
        found.append(results(layer.train(training), x, with_gradients))
    close(*found)


def test_recurrent_dropout_is_refused() -> None:
    masked = RecurrentRegularization(recurrent_dropout=0.1)
    with pytest.raises(ConfigError, match=r"generated: .*model.recurrent_dropout.*eager"):
        Recurrence(Own, 3, 8, backend="generated", regularization=masked)(torch.randn(9, 2, 3))


def test_code_that_does_not_compile_leaves_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "SOURCES", library.SOURCES.parent)

    class Fresh(Own):
        def step(self, z: Tensor, state: State) -> State:
            return (torch.tanh(z * 0.123 + state[0]),)

    assert library.library() is not None
    layer = Recurrence(Fresh, 3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layer.backend_on(CPU, 4) == "eager"
    (cell,) = (cell for cell in layer.cells if isinstance(cell, Cell))
    said = missing(cell, CPU)
    assert said is not None
    assert "does not compile" in said


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.recurrence.generated.layer.library", lambda: None)
    said = missing(Own(3, 8), CPU)
    assert said is not None
    assert "needs a C compiler" in said

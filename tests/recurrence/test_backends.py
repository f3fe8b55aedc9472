"""Every backend is exactly the cell: outputs, states and every gradient against the plain loop."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.cells.gru import GRU
from unrolled.cells.lstm import LSTM
from unrolled.cells.mgu import MGU
from unrolled.cells.min_gru import MinGRU
from unrolled.config.locations import config_directory
from unrolled.errors import ConfigError
from unrolled.recurrence import backends, compiled, generated
from unrolled.recurrence.backends import BACKENDS, choose
from unrolled.recurrence.stack import Recurrence, States

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
CPU, GPU = torch.device("cpu"), torch.device("cuda")
NATIVE = {"gru", "irnn", "lstm", "rnn_relu", "rnn_tanh"}
LINEAR = {"lru", "min_gru", "min_lstm", "qrnn", "sru"}
# Not of complex numbers.
GENERATED = {*CELLS} - {"lru"}
PAIRS = [
    (name, backend)
    for name in CELLS
    for backend, those in (
        ("native", NATIVE),
        ("analytic", NATIVE),
        ("scan", LINEAR),
        ("generated", GENERATED),
        ("eager", set(CELLS)),
    )
    if name in those
]
COMPLEX = (torch.complex64,)
Fixture = Callable[..., Any]


class Leaky(Cell):
    """A cell from outside, without a fused kernel: h_t = h_{t-1} / 2 + a x_t."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.a = nn.Parameter(torch.empty(hidden_size, input_size))

    def project(self, x: Tensor) -> Tensor:
        return x @ self.a.T

    def step(self, z: Tensor, state: State) -> State:
        return (state[0] / 2 + z,)

    def reset_parameters(self) -> None:
        nn.init.ones_(self.a)


def leaves_of(layer: Recurrence, dtype: torch.dtype) -> tuple[Tensor, States]:
    """An input and a state of leaves, of eleven steps of three sequences."""
    torch.manual_seed(12)
    x = torch.randn(11, 3, 3).to(dtype).requires_grad_()
    states = layer.initial_states(3, x.detach())
    return x, tuple(
        tuple((torch.rand_like(part) + 0.1).requires_grad_() for part in state) for state in states
    )


def stir(layer: nn.Module) -> None:
    """No weight at zero, where a fault would not show."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize(("name", "backend"), [pair for pair in PAIRS if "generated" not in pair])
def test_a_backend_is_the_loop_in_double_precision(
    name: str, backend: str, named: Fixture, loop: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    layer = Recurrence(named(name), 3, 8, backend=backend).double()
    stir(layer)
    x, (state,) = leaves_of(layer, torch.float64)
    leaves = [x, *state, *layer.parameters()]
    y, final = loop(layer.cells[0], x, state)
    expected = with_gradients([y, *final], leaves)
    y, (final,) = layer(x, (state,))
    same(with_gradients([y, *final], leaves), expected)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_a_backend_rounds_as_the_loop_does_in_single_precision(
    name: str, backend: str, named: Fixture, loop: Fixture, with_gradients: Fixture
) -> None:
    layer = Recurrence(named(name), 3, 8, backend=backend)
    stir(layer)
    exact = Recurrence(named(name), 3, 8, backend="eager").double()
    exact.load_state_dict(layer.state_dict())
    x, (state,) = leaves_of(layer, torch.float32)
    leaves = [x, *state, *layer.parameters()]
    y, (final,) = layer(x, (state,))
    found = with_gradients([y, *final], leaves)
    y, final = loop(layer.cells[0], x, state)
    looped = with_gradients([y, *final], leaves)
    doubles = [part.detach().double().requires_grad_() for part in (x, *state)]
    y, final = loop(exact.cells[0], doubles[0], tuple(doubles[1:]))
    truth = with_gradients([y, *final], [*doubles, *exact.parameters()])
    for one, plain, true in zip(found, looped, truth, strict=True):
        # As far from the truth as the plain loop, up to the order of a sum.
        scale = float(true.detach().abs().max())
        allowed = 4 * float((plain - true).detach().abs().max()) + 64 * 2**-24 * scale
        assert float((one - true).detach().abs().max()) <= allowed


@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, one) for name, one in PAIRS if name in NATIVE - {"irnn"}],
)
def test_large_products_round_as_pytorchs(name: str, backend: str, named: Fixture) -> None:
    torch.manual_seed(5)
    layer = Recurrence(named(name), 192, 192, backend=backend)
    reference = Recurrence(named(name), 192, 192, backend="eager").double()
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(6, 48, 192)
    single, double = layer(x)[0], reference(x.double())[0]
    single.square().sum().backward()
    double.square().sum().backward()
    torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-6)
    for one, other in zip(layer.parameters(), reference.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        scale = float(other.grad.abs().max())
        assert float((one.grad - other.grad).abs().max()) < 2e-5 * scale


@pytest.mark.parametrize("name", CELLS)
def test_half_precision_rounds_products_and_keeps_states_whole(name: str, named: Fixture) -> None:
    """Under autocast a loop's products are of bf16, its states and gradients of fp32."""
    torch.manual_seed(9)
    layer = Recurrence(named(name), 8, 8)
    stir(layer)
    x = torch.randn(12, 3, 8)
    exact, _ = layer(x)
    weight = torch.randn_like(exact)
    expected = torch.autograd.grad((exact * weight).sum(), [*layer.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        y, states = layer(x)
    assert {part.dtype for state in states for part in state} <= {torch.float32, *COMPLEX}
    assert float((y - exact).detach().norm()) < 0.02 * float(exact.detach().norm())
    found = torch.autograd.grad((y * weight).sum(), [*layer.parameters()])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        # The largest are those of layer normalization, which divides by what was rounded.
        assert float((one - other).norm()) <= 0.2 * float(other.norm()) + 1e-6


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a C compiler."""
    monkeypatch.setattr(backends, "kernel_for", lambda cell: None)
    monkeypatch.setattr(generated, "missing", lambda *args, **kwargs: "it needs a C compiler")


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has one."""
    monkeypatch.setattr(backends, "kernel_for", lambda cell: "a kernel")
    monkeypatch.setattr(generated, "missing", lambda *args, **kwargs: None)


@pytest.mark.usefixtures("without_kernels")
def test_auto_is_the_fastest_exact_way() -> None:
    assert choose(LSTM(2, 3), "auto", CPU) == "native"
    assert choose(LSTM(2, 3), "auto", CPU, unequal=True) == "analytic"
    assert choose(LSTM(2, 5, projection_size=3), "auto", CPU, unequal=True) == "eager"
    assert choose(LSTM(2, 3), "auto", GPU, unequal=True) == "native"
    assert choose(LSTM(2, 5, projection_size=3), "auto", CPU) == "eager"
    assert choose(LSTM(2, 3), "auto", CPU, zoneout=True) == "eager"
    assert choose(MinGRU(2, 3), "auto", CPU, recurrent_dropout=True) == "scan"
    assert choose(Leaky(2, 3), "auto", CPU) == "eager"
    assert choose(LSTM(2, 3), "eager", CPU) == "eager"


@pytest.mark.usefixtures("with_kernels")
def test_auto_generates_code_for_what_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for cell in (Leaky(2, 3), LSTM(2, 5, projection_size=3)):
        assert choose(cell, "auto", CPU) == "generated"
        assert choose(cell, "auto", CPU, unequal=True) == "generated"
        assert choose(cell, "auto", CPU, zoneout=True) == "generated"
        assert choose(cell, "auto", CPU, recurrent_dropout=True) == "eager"
        assert choose(cell, "auto", CPU, length=7) == "eager"
    assert choose(MinGRU(2, 3), "auto", CPU) == "scan"
    # Large products in half precision outweigh all else, later where fp32 is faster, too.
    monkeypatch.setattr(backends, "has_tiles", lambda: True)
    assert choose(MGU(512, 512), "auto", CPU, batch=32, half=True) == "generated"
    assert choose(MGU(1024, 1024), "auto", CPU, batch=32, half=True) == "eager"
    monkeypatch.setattr(backends, "has_tiles", lambda: False)
    assert choose(MGU(64, 64), "auto", CPU, batch=32, half=True) == "generated"
    assert choose(MGU(512, 512), "auto", CPU, batch=32) == "generated"
    assert choose(MGU(512, 512), "auto", CPU, batch=32, half=True) == "eager"


@pytest.mark.usefixtures("without_kernels")
def test_auto_compiles_on_a_gpu_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "missing", lambda device: None)
    assert choose(Leaky(2, 3), "auto", GPU) == "compiled"
    assert choose(Leaky(2, 3), "auto", CPU) == "eager"
    monkeypatch.setattr(compiled, "missing", lambda device: "it needs triton")
    assert choose(Leaky(2, 3), "auto", GPU) == "eager"


@pytest.mark.usefixtures("with_kernels")
def test_compiled_code_runs_what_is_long_enough_in_single_precision() -> None:
    gru, lstm = GRU(64, 64), LSTM(256, 256)
    for cell in (gru, lstm):
        assert choose(cell, "auto", CPU) == "analytic"
        assert choose(cell, "auto", CPU, length=8) == "analytic"
        assert choose(cell, "auto", CPU, length=7) == "native"
        assert choose(cell, "auto", GPU) == "native"
        assert choose(cell, "auto", CPU, zoneout=True) == "generated"
        assert choose(cell, "auto", CPU, recurrent_dropout=True) == "eager"
        assert choose(cell, "native", CPU) == "native"
    assert choose(GRU(512, 512), "auto", CPU) == "analytic"
    assert choose(LSTM(512, 512), "auto", CPU) == "native"
    assert choose(LSTM(64, 64, projection_size=9), "auto", CPU) == "generated"
    assert choose(gru.double(), "auto", CPU) == "native"


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_torch_compile_and_torch_func_take_auto_as_it_is(
    name: str, half: bool, named: Fixture
) -> None:
    torch.manual_seed(9)
    layer, x = Recurrence(named(name), 3, 8), torch.randn(11, 2, 3)
    close = partial(
        torch.testing.assert_close, rtol=(0.05 if half else 1e-5), atol=(0.05 if half else 1e-6)
    )

    def summed(parameters: dict[str, Tensor]) -> Tensor:
        output: Tensor = torch.func.functional_call(layer, parameters, (x,))[0]
        return output.sum()

    with torch.autocast("cpu", torch.bfloat16, enabled=half), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Dynamo detected")
        y, _ = layer(x)
        traced, _ = torch.compile(layer, backend="eager")(x)
        found = torch.func.grad(summed)({k: p.detach() for k, p in layer.named_parameters()})
    close(traced, y)
    y.sum().backward()
    for key, parameter in layer.named_parameters():
        close(found[key], parameter.grad)


@pytest.mark.usefixtures("without_kernels")
def test_the_pass_that_is_written_out_is_for_wide_layers_unequal_lengths_and_half_precision() -> (
    None
):
    gru = GRU(512, 512)
    assert choose(gru, "auto", CPU, batch=32) == "analytic"
    assert choose(gru, "auto", CPU, batch=32, zoneout=True) == "eager"
    assert choose(gru, "auto", CPU, batch=1) == "native"
    assert choose(gru, "auto", GPU, batch=32) == "native"
    assert choose(GRU(64, 64), "auto", CPU, batch=32) == "native"
    assert choose(GRU(64, 64), "auto", CPU, batch=32, unequal=True) == "analytic"
    assert choose(GRU(64, 64), "auto", CPU, batch=32, half=True) == "analytic"
    assert choose(LSTM(512, 512), "auto", CPU, batch=32) == "native"
    assert choose(LSTM(512, 512), "auto", CPU, batch=32, half=True) == "analytic"
    assert choose(LSTM(64, 64), "auto", CPU, batch=32, half=True) == "native"


def test_a_narrower_lstm_needs_kernels_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = LSTM(256, 256)
    monkeypatch.setattr(backends, "kernel_for", lambda cell: None)
    assert choose(lstm, "auto", CPU, batch=32, half=True) == "native"
    assert choose(lstm, "auto", CPU, batch=32) == "native"
    monkeypatch.setattr(backends, "kernel_for", lambda cell: "a kernel")
    assert choose(lstm, "auto", CPU, batch=32, half=True) == "analytic"


@pytest.mark.parametrize(
    ("name", "bias"), [("gru", [0.0, 6.9, 20.0]), ("lstm", [20.0, 20.0, 1 / 1024, 20.0])]
)
def test_small_steps_add_up_under_half_precision(
    name: str, bias: list[float], named: Fixture
) -> None:
    """PyTorch's kernels keep states in bf16, where 1 + 1/512 is 1."""
    layer = Recurrence(named(name), 1, 1, 2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        # A thousandth at each step: of what is left to 1 (GRU), or of 1 (LSTM).
        layer.get_parameter("cells.1.bias_ih")[:] = torch.tensor(bias)
        x = torch.zeros(2000, 1, 1)
        _, (*_, exact) = layer(x)[1]
        with torch.autocast("cpu", torch.bfloat16):
            _, (*_, rounded) = layer(x)[1]
    assert float(exact) > 0.8
    assert float(rounded) == pytest.approx(float(exact), rel=0.02)


@pytest.mark.parametrize(
    ("cell", "backend", "options", "said"),
    [
        (Leaky, "native", {}, "native: Leaky has no fused kernel; take auto or "),
        (LSTM, "scan", {}, "scan: LSTM is not linear in its state"),
        (MinGRU, "analytic", {}, "the backward pass of MinGRU is not written out"),
        (GRU, "analytic", {"zoneout": True}, r"does not know model\.zoneout; take auto or"),
        (LSTM, "native", {"zoneout": True}, r"no fused kernel takes model\.zoneout"),
        (GRU, "native", {"recurrent_dropout": True}, r"takes model\.recurrent_dropout"),
        (GRU, "compiled", {"recurrent_dropout": True}, "compiled: it cannot take"),
        (
            LSTM,
            "quick",
            {},
            r"quick: choose one of auto, native, analytic, generated, eager",
        ),
    ],
)
def test_what_cannot_run_a_cell_exactly_is_refused_by_name(
    cell: type[Cell], backend: str, options: dict[str, bool], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        choose(cell(2, 3), backend, CPU, **options)


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"compiled: it needs a C\+\+ compiler.*auto or native"):
        choose(GRU(2, 3), "compiled", CPU)


def test_the_loop_runs_in_the_order_of_time() -> None:
    x = torch.tensor([8.0, 4.0, 2.0]).view(3, 1, 1)
    y, ((h,),) = Recurrence(Leaky, 1, 1, backend="eager")(x, ((torch.tensor([[16.0]]),),))
    assert y.flatten().tolist() == [16.0, 12.0, 8.0]
    assert h.tolist() == [[8.0]]


def test_every_backend_has_its_place() -> None:
    assert {backend for _, backend in PAIRS} | {"auto", "compiled"} == set(BACKENDS)

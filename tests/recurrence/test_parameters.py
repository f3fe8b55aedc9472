"""What the engine does to products with a cell's weights changes their speed and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from unrolled.cells.base import Cell, State
from unrolled.cells.lstm import LSTM
from unrolled.cells.slstm import SLSTM
from unrolled.recurrence import products
from unrolled.recurrence.products import AccumulatedGradient, linear
from unrolled.recurrence.stack import Recurrence

Fixture = Callable[..., Any]
Product = Callable[[Tensor, Tensor], Tensor]


def applied(module: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = module(x)
    return y


class Written(Cell):
    """A network whose products are written in one way or another."""

    recurrent_weights = ("weight_hh",)
    product: Product = F.linear
    transposed = False

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.inner = nn.Linear(input_size, hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.scale = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight_hh, std=0.3)
        nn.init.ones_(self.scale)

    def project(self, x: Tensor) -> Tensor:
        return applied(self.inner, x)

    def step(self, z: Tensor, state: State) -> State:
        return (torch.tanh(z + type(self).product(state[0], self.weight_hh) * self.scale),)


WAYS: dict[str, Product] = {
    "linear": lambda h, w: F.linear(h, w),
    "h @ w": lambda h, w: h @ w,
    "h @ w.t()": lambda h, w: h @ w.t(),
    "h @ w.T": lambda h, w: h @ w.T,
    "matmul(h, w.mT)": lambda h, w: torch.matmul(h, w.mT),
    "(w @ h.T).T": lambda h, w: (w @ h.T).T,
    "einsum": lambda h, w: torch.einsum("bi,oi->bo", h, w),
    "pieces": lambda h, w: torch.cat([F.linear(h, part) for part in w.chunk(2)], -1),
    "linear of w.t()": lambda h, w: F.linear(h, w.t()),
    "bias of its own": lambda h, w: F.linear(h, w, 2 * h.new_ones(w.shape[0])),
    "bias by name": lambda h, w: F.linear(input=h, weight=w, bias=None),
    "elementwise": lambda h, w: h * w.diagonal() + w.sum() * h,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_product_has_its_gradient(
    way: str, loop: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    kind = type("Cell", (Written,), {"product": staticmethod(WAYS[way])})
    torch.manual_seed(0)
    layer = Recurrence(kind, 3, 6, backend="eager").double()
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]
    y, (final,) = layer(x)
    state = (torch.zeros(2, 6, dtype=torch.float64),)
    expected, last = loop(layer.cells[0], x, state)
    same(with_gradients([y, *final], leaves), with_gradients([expected, *last], leaves))


def test_parameters_come_back_after_an_error() -> None:
    class Failing(Written):
        def step(self, z: Tensor, state: State) -> State:
            raise RuntimeError("stopped")

    layer = Recurrence(Failing, 3, 6)
    before = dict(layer.named_parameters())
    with pytest.raises(RuntimeError, match="stopped"):
        layer(torch.randn(5, 2, 3))
    after = dict(layer.named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is parameter for name, parameter in before.items())


@pytest.mark.parametrize("kind", [LSTM, SLSTM])
def test_a_second_backward_pass_counts_no_step_twice(kind: type[Cell]) -> None:
    layer = Recurrence(kind, 3, 8, backend="eager").double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    y = layer(x)[0].square().sum()
    weights = list(layer.parameters())
    first = torch.autograd.grad(y, weights, retain_graph=True)
    # A pass for the input alone leaves its rows behind; the next must not find them.
    torch.autograd.grad(y, x, retain_graph=True)
    second = torch.autograd.grad(y, weights)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_a_frozen_weight_gets_no_gradient_and_lets_it_pass() -> None:
    layer = Recurrence(LSTM, 3, 4, backend="eager")
    layer.cells[0].weight_hh.requires_grad_(False)
    x = torch.randn(5, 2, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert layer.cells[0].weight_hh.grad is None
    assert x.grad is not None
    assert x.grad.ne(0).any()


def test_nothing_is_kept_without_gradients() -> None:
    layer = Recurrence(LSTM, 3, 4, backend="eager")
    with torch.no_grad():
        y, _ = layer(torch.randn(5, 2, 3))
    assert not y.requires_grad


def test_a_layer_leaves_no_garbage_for_the_collector() -> None:
    import gc

    layer = Recurrence(LSTM, 3, 4, backend="eager")
    layer(torch.randn(5, 2, 3))[0].sum().backward()
    gc.collect()
    gc.disable()
    try:
        y, _ = layer(torch.randn(5, 2, 3))
        y.sum().backward()
        del y, _
        alive = sum(type(thing) is AccumulatedGradient for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive == 0


SHAPES = [(64, 200, 300), (7, 500, 500), (40, 16, 16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
def test_a_product_rounds_as_pytorchs(
    rows: int, inputs: int, outputs: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    x = torch.randn(3, rows, inputs, dtype=dtype, requires_grad=True)
    weight = torch.randn(outputs, inputs, dtype=dtype, requires_grad=True)
    bias = torch.randn(outputs, dtype=dtype, requires_grad=True)
    # What reaches a product is often a slice of something wider, or one number for all.
    wide = torch.randn(3, rows, 2 * outputs, dtype=dtype)
    for grad in (wide[..., outputs:], wide[:1, :1, :1].expand(3, rows, outputs)):
        found = torch.autograd.grad(linear(x, weight, bias), [x, weight, bias], grad)
        doubles = [part.detach().double().requires_grad_() for part in (x, weight, bias)]
        truth = torch.autograd.grad(F.linear(*doubles), doubles, grad.double())
        for one, other in zip(found, truth, strict=True):
            error = float((one - other).abs().max())
            assert error <= 300 * torch.finfo(dtype).eps * float(other.abs().max())


def kernels_of(work: Callable[[], Any]) -> set[str]:
    """The names of the operations that run."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    return {event.name for event in profiler.events()}


def test_large_products_go_to_the_faster_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(products.ONEDNN_GAINS, torch.float32, True)
    weight = torch.randn(300, 200)
    onednn = "mkldnn::_linear_pointwise"
    assert onednn in kernels_of(lambda: linear(torch.randn(64, 200), weight))
    assert onednn not in kernels_of(lambda: linear(torch.randn(4, 200), weight))
    doubles = (torch.randn(64, 200).double(), weight.double())
    assert onednn not in kernels_of(lambda: linear(*doubles))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.randn(64, 200), weight).dtype == torch.bfloat16
    monkeypatch.setitem(products.ONEDNN_GAINS, torch.float32, False)
    assert onednn not in kernels_of(lambda: linear(torch.randn(64, 200), weight))


@pytest.mark.parametrize("gains", [True, False])
def test_large_steps_go_to_the_faster_kernel_both_ways(
    monkeypatch: pytest.MonkeyPatch, gains: bool
) -> None:
    monkeypatch.setitem(products.ONEDNN_GAINS, torch.float32, gains)
    layer = Recurrence(LSTM, 8, 200, backend="eager")

    def work() -> None:
        layer(torch.randn(3, 64, 8))[0].sum().backward()

    names = kernels_of(work)
    assert ("mkldnn::_linear_pointwise" in names) == gains
    assert ("mkldnn::_reorder_linear_weight" in names) == gains


@pytest.mark.parametrize(
    ("capability", "name", "gains"),
    [
        ("AVX512", "AMD EPYC", [True, True]),
        ("AVX512", "Intel(R) Xeon(R) Processor", [False, True]),
        ("AVX2", "AMD EPYC", [False, False]),
    ],
)
def test_onednn_is_taken_where_mkl_does_not_use_the_processor(
    capability: str, name: str, gains: list[bool]
) -> None:
    asked = (
        "import torch, unrolled.recurrence.processor as processor\n"
        f"torch.backends.cpu.get_cpu_capability = lambda: {capability!r}\n"
        f"processor.cpu_name = lambda: {name!r}\n"
        "from unrolled.recurrence.products import ONEDNN_GAINS\n"
        "print(ONEDNN_GAINS[torch.float32], ONEDNN_GAINS[torch.bfloat16])"
    )
    found = subprocess.check_output([sys.executable, "-c", asked], text=True)
    assert found.split() == [*map(str, gains)]


class Tied(Cell):
    """One matrix under two names."""

    recurrent_weights = ("weight_hh", "again")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.again = self.weight_hh
        self.inner = nn.Linear(input_size, hidden_size)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight_hh, std=0.3)

    def project(self, x: Tensor) -> Tensor:
        return applied(self.inner, x)

    def step(self, z: Tensor, state: State) -> State:
        h = torch.tanh(z + F.linear(state[0], self.weight_hh))
        return (h + F.linear(h, self.again),)


def test_a_matrix_under_two_names_has_the_gradient_of_both(
    loop: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    torch.manual_seed(0)
    layer = Recurrence(Tied, 3, 6, backend="eager").double()
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]
    y, (final,) = layer(x)
    expected, last = loop(layer.cells[0], x, (torch.zeros(2, 6, dtype=torch.float64),))
    same(with_gradients([y, *final], leaves), with_gradients([expected, *last], leaves))
    assert isinstance(layer.cells[0].again, nn.Parameter)
    assert layer.cells[0].again is layer.cells[0].weight_hh

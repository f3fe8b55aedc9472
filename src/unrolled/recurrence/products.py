"""Products with a weight by the fastest exact kernel, and its gradient accumulated over time.

PyTorch sends fp32 products on CPUs to MKL, which uses AVX-512 on Intel's processors alone: on
AMD's with AVX-512 it reaches half of oneDNN's rate, and without AVX-512 the two are as fast; on
Intel's MKL is the faster one. So on AMD's with AVX-512 a product that is large enough goes to
oneDNN here; both round as fp32 does.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from unrolled.cells.autocast import half_type
from unrolled.recurrence.processor import cpu_name

# Whether oneDNN may be faster, where it is asked with a weight that is packed for it. Without
# AVX-512 its overhead makes small products slower by up to two thirds.
_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
ONEDNN_GAINS = {
    torch.float32: _avx512 and "Intel" not in cpu_name(),
    torch.bfloat16: _avx512,
}
# Below these a product takes less time than oneDNN's own overhead of about 10 µs.
SMALLEST_ROWS = 8
SMALLEST_PRODUCT = 1_500_000


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weightᵀ + bias``, as ``torch.nn.functional.linear`` has it.

    Args:
        x: ``[..., inputs]``.
        weight: ``[outputs, inputs]``.
        bias: ``[outputs]``.
    """
    if half_type(x.device) is not None or not _suits_onednn(x, weight):
        return F.linear(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return y


# The input of a product that is computed elsewhere; filled by the time of the backward pass.
LateInput = list[Tensor]

_operations = torch.library.Library("unrolled", "DEF")
_operations.define("product(Tensor x, Tensor weight) -> Tensor")


class AccumulatedGradient:
    """The products of all steps with one weight, whose gradient is one product at the end.

    Each step alone would pay for a product with few rows and for adding up a whole matrix. Here a
    step's backward pass notes its input and its output's gradient, and the weight's gradient is
    one product of all of them once every step's backward pass has run.

    Args:
        weight: ``[outputs, inputs]``, or ``[blocks, inputs, outputs]`` of a block-diagonal one.
        bias: ``[outputs]``, or None.
        half: as for ``PackedWeight``.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, half: torch.dtype | None = None
    ) -> None:
        without = None if bias is None else bias.detach()
        self.packed = PackedWeight(weight.detach(), without, half)
        # A number that stands for the weight in autograd's graph: each step's product depends on
        # it, so autograd runs its backward pass after all of theirs. The packed weight must not
        # know it: the two would keep each other alive.
        self.node: Tensor = _WeightNode.apply(weight, bias, self.packed)  # type: ignore[no-untyped-call]

    def __call__(self, x: Tensor) -> Tensor:
        """``[rows, inputs]`` to ``[rows, outputs]``, or ``[blocks, rows, ...]``."""
        y: Tensor = _StepProduct.apply(x, self.node, self.packed)  # type: ignore[no-untyped-call]
        return y

    def addend(self, rows: int, late: LateInput) -> Tensor:
        """What is added to a product that is computed elsewhere, so that its gradient is
        accumulated here, too: the bias or zeros, ``[rows, outputs]``.

        Args:
            rows: of the product.
            late: holds the product's input by the time of the backward pass.
        """
        row: Tensor = _Addend.apply(self.node, self.packed, rows, late)  # type: ignore[no-untyped-call]
        return row


class PackedWeight:
    """A weight in the layouts that its products want, and what its gradient is made of.

    Args:
        weight, bias: without history.
        half: the type that factors are rounded to, as autocast does; products of it are given in
            the weight's own type. None: none is.
        smallest: multiplications from which a product goes to oneDNN.

    Attributes:
        steps: of each step whose backward pass has run: which pass that was, the step's input and
            its output's gradient.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        half: torch.dtype | None = None,
        *,
        smallest: int = SMALLEST_PRODUCT,
    ) -> None:
        self.half = half
        self.smallest = smallest
        self.dtype = weight.dtype
        self.weight = weight if half is None else weight.to(half)
        self.bias = bias if half is None or bias is None else bias.to(half)
        self.steps: list[tuple[int, Tensor, Tensor]] = []
        self._suits: dict[torch.Size, bool] = {}
        self._packed: dict[bool, Tensor] = {}

    def product(self, x: Tensor) -> Tensor:
        """``x weightᵀ + bias``, block by block where there are blocks."""
        if self.half is not None:
            x = x.to(self.half)
        if self.weight.dim() == 3:
            y = x @ self.weight
        elif self._suits_onednn(x, self.weight):
            y = _onednn(x, self._pack(len(x), transposed=False), self.bias)
        else:
            y = F.linear(x, self.weight, self.bias)
        return y.to(self.dtype)

    def add_product(self, x: Tensor, addend: Tensor, out: Tensor) -> Tensor:
        """``addend + x weightᵀ + bias``, written into ``out``."""
        if self.half is not None or self._suits_onednn(x, self.weight):
            return torch.add(addend, self.product(x), out=out)
        torch.addmm(addend, x, self._contiguous_columns, out=out)
        return out if self.bias is None else out.add_(self.bias)

    def add_input_gradient(self, grad: Tensor, to: Tensor) -> None:
        """Add the gradient of ``x`` to what is there already."""
        if self.half is not None or self._suits_onednn(grad, self._columns):
            to += self.input_gradient(grad)
        else:
            to.addmm_(grad, self.weight)

    def input_gradient(self, grad: Tensor) -> Tensor:
        """The gradient of ``x``."""
        if self.half is not None:
            grad = grad.to(self.half)
        if self.weight.dim() == 3:
            of_x = grad @ self.weight.mT
        elif self._suits_onednn(grad, self._columns):
            of_x = _onednn(grad, self._pack(len(grad), transposed=True), None)
        else:
            of_x = grad @ self.weight
        return of_x.to(self.dtype)

    def gradient(self, x: Tensor, grad: Tensor) -> Tensor:
        """The weight's gradient over all rows, ``[rows, inputs]`` and ``[rows, outputs]``; with
        blocks ``[blocks, rows, …]``."""
        if self.half is not None:
            x, grad = x.to(self.half), grad.to(self.half)
        of_weight = x.mT @ grad if x.dim() == 3 else weight_gradient(x, grad)
        return of_weight if self.half is None else of_weight.to(self.dtype)

    @cached_property
    def _columns(self) -> Tensor:
        return self.weight.t()

    @cached_property
    def _contiguous_columns(self) -> Tensor:
        # MKL is a twentieth faster than with a transposed factor.
        return self._columns.contiguous()

    def _suits_onednn(self, x: Tensor, weight: Tensor) -> bool:
        if x.shape not in self._suits:
            self._suits[x.shape] = _suits_onednn(x, weight, self.smallest)
        return self._suits[x.shape]

    def _pack(self, rows: int, *, transposed: bool) -> Tensor:
        if transposed not in self._packed:
            weight = self.weight.t() if transposed else self.weight
            pack = torch.ops.mkldnn._reorder_linear_weight.default
            self._packed[transposed] = pack(weight.contiguous(), rows)
        return self._packed[transposed]


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x weightᵀ`` as one operation of a trace; ``weight`` gets no gradient."""
    y: Tensor = torch.ops.unrolled.product.default(x, weight)
    return y


def _suits_onednn(x: Tensor, weight: Tensor, smallest: int = SMALLEST_PRODUCT) -> bool:
    return bool(
        ONEDNN_GAINS.get(x.dtype)
        and x.device.type == "cpu"
        and x.dtype == weight.dtype
        and weight.dim() == 2
        and x.numel() >= SMALLEST_ROWS * weight.shape[1]
        and x.numel() * weight.shape[0] >= smallest
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _onednn(x, weight, bias) if _suits_onednn(x, weight) else F.linear(x, weight, bias)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    kernel: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
    if weight.layout == torch.strided and not (
        weight.is_contiguous() or weight.t().is_contiguous()
    ):
        # oneDNN has no fast way to read any other strides.
        weight = weight.contiguous()
    return kernel(x, weight, bias, "none", [], "")


def weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """``gradᵀ x`` over all rows; transposed, since oneDNN then copies the smaller factor."""
    x, grad = x.flatten(0, -2), grad.flatten(0, -2)
    if _suits_onednn(x.t(), grad.t()):
        return _product(x.t(), grad.t()).t()
    return grad.t() @ x


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t()) if for_x else None,
            weight_gradient(x, grad) if for_weight else None,
            grad.flatten(0, -2).sum(0) if for_bias else None,
        )


class _StepProduct(torch.autograd.Function):
    """One step's product; its backward pass notes what the weight's gradient is made of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, node: Tensor, packed: PackedWeight) -> Tensor:
        ctx.packed = packed
        ctx.save_for_backward(x)
        return packed.product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        packed: PackedWeight = ctx.packed
        if ctx.needs_input_grad[1]:
            (x,) = ctx.saved_tensors
            packed.steps.append((_backward_pass(), x, grad))
        grad_x = packed.input_gradient(grad) if ctx.needs_input_grad[0] else None
        return grad_x, None, None


class _WeightNode(torch.autograd.Function):
    """The weight in autograd's graph; its backward pass takes the gradient of all steps."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, packed: PackedWeight) -> Tensor:
        ctx.packed = packed
        return weight.new_empty(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        steps = ctx.packed.steps
        ctx.packed.steps = []
        # A pass that did not ask for the weight's gradient has left its steps behind.
        steps = [(x, grad) for which, x, grad in steps if which == _backward_pass()]
        if not steps:
            return None, None, None
        x, grad = (torch.cat(parts, dim=-2) for parts in zip(*steps, strict=True))
        for_weight, for_bias = ctx.needs_input_grad[:2]
        return (
            ctx.packed.gradient(x, grad) if for_weight else None,
            grad.sum(0) if for_bias else None,
            None,
        )


class _Addend(torch.autograd.Function):
    """The bias of a product that is computed elsewhere; its gradient is the product's."""

    @staticmethod
    def forward(
        ctx: Any, node: Tensor, packed: PackedWeight, rows: int, late: LateInput
    ) -> Tensor:
        ctx.packed, ctx.late = packed, late
        row = packed.weight.new_zeros(()) if packed.bias is None else packed.bias
        return row.expand(rows, len(packed.weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None, None]:
        if ctx.needs_input_grad[0]:
            ctx.packed.steps.append((_backward_pass(), ctx.late[0], grad))
        return None, None, None, None


def _product_without_bias(x: Tensor, weight: Tensor) -> Tensor:
    return _product(x, weight)


def _product_shape(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _save_weight(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _gradient_of_x(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (weight,) = ctx.saved_tensors
    return product(grad, weight.t()), None


_operations.impl("product", _product_without_bias, "CPU")
_operations.impl("product", _product_without_bias, "CUDA")
torch.library.register_fake("unrolled::product", _product_shape, lib=_operations)
torch.library.register_autograd(
    "unrolled::product", _gradient_of_x, setup_context=_save_weight, lib=_operations
)


def _backward_pass() -> int:
    """Which call of the autograd engine is running."""
    which: int = torch._C._current_graph_task_id()
    return which

"""The engine's hand on a cell's weights while the cell runs.

A cell multiplies by its parameters in plain PyTorch. While the engine runs it, each matrix (and
each recurrent weight) is lent to it as a ``Weight``, a tensor that knows what it is: products with
it go to the fastest kernel, their gradients are gathered over time, and recurrent dropout is
applied to what a recurrent weight reads. Every other use of a ``Weight`` is an ordinary tensor's.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from unrolled.cells.base import Cell
from unrolled.errors import ConfigError
from unrolled.recurrence.dropout import ReadDropout
from unrolled.recurrence.products import Gathered, linear

PRODUCTS = (torch.matmul, Tensor.matmul, torch.mm, Tensor.mm)
TRANSPOSITIONS = (Tensor.t, torch.t, *(getattr(Tensor, name).__get__ for name in ("T", "mT")))
MULTIPLICATIONS = (torch.mul, Tensor.mul)
# What asks a tensor about itself, and reads no value.
QUESTIONS = frozenset(
    {Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.is_complex}
    | {
        getattr(Tensor, name).__get__
        for name in ("shape", "dtype", "device", "ndim", "requires_grad", "is_leaf", "grad_fn")
    }
)


class Loop:
    """One run of a cell over time, as its weights see it.

    Args:
        dropout: how what recurrent weights read is dropped.
        recurrent: the names of the recurrent weights.

    Attributes:
        rows: how many sequences the present step has; None while nothing has been stepped yet.
    """

    def __init__(self, dropout: ReadDropout | None = None, recurrent: Iterable[str] = ()) -> None:
        self.dropout = dropout
        self.recurrent = frozenset(recurrent)
        self.rows: int | None = None
        self._gathered: dict[tuple[str, int], Gathered] = {}

    def drops(self, name: str) -> bool:
        """Whether what this weight reads now is under a dropout mask."""
        return self.dropout is not None and self.rows is not None and name in self.recurrent

    def reads(self, name: str, x: Tensor) -> Tensor:
        """What the weight sees of ``x``, whose rows are its last dimension but one."""
        if self.dropout is None or self.rows is None or name not in self.recurrent:
            return x
        return x * self.dropout.mask(name, x).narrow(-2, 0, self.rows)

    def product(self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        """``x weightᵀ + bias``, or ``x weight`` block by block; ``x`` as ``reads`` gives it."""
        known = self._gathered.get((name, id(bias)))
        if known is not None and x.dim() == weight.dim() and torch.is_grad_enabled():
            return known(x)
        if self.rows is None or not weight.requires_grad or not torch.is_grad_enabled():
            return x @ weight if weight.dim() == 3 else linear(x, weight, bias)
        if x.dim() != weight.dim() or torch.is_autocast_enabled(x.device.type):
            return x @ weight if weight.dim() == 3 else F.linear(x, weight, bias)
        if bias is not None and not isinstance(bias, nn.Parameter):
            # Computed anew in each step, so it is not part of what is gathered.
            return self.product(name, weight, x, None) + bias
        return self.gathered(name, weight, bias)(x)

    def gathered(self, name: str, weight: Tensor, bias: Tensor | None) -> Gathered:
        """The products of all steps with this weight and this bias."""
        key = (name, id(bias))
        if key not in self._gathered:
            self._gathered[key] = Gathered(weight, bias)
        return self._gathered[key]


class Weight(Tensor):
    """A parameter on loan to its cell."""

    loop: Loop
    key: str
    plain: Tensor
    transposed: bool

    @classmethod
    def lend(cls, loop: Loop, name: str, plain: Tensor, *, transposed: bool = False) -> "Weight":
        """``plain`` under the eyes of ``loop``; ``transposed`` says that ``plain`` is read as
        ``plainᵀ``."""
        weight = (plain.t() if transposed else plain).as_subclass(cls)
        weight.loop, weight.key = loop, name
        weight.plain, weight.transposed = plain, transposed
        return weight

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            found = _looked_after(func, args, kwargs)
            if found is not None:
                return found
            args, kwargs = tree_map_only(cls, cls.ordinary, (args, kwargs))
            return func(*args, **kwargs)

    @staticmethod
    def ordinary(weight: "Weight") -> Tensor:
        """The same values as a tensor like any other."""
        return weight.plain.t() if weight.transposed else weight.plain


@contextmanager
def lent(
    cell: Cell, loop: Loop, replaced: Mapping[str, Tensor], *, plain: bool = False
) -> Iterator[None]:
    """Lend a cell its own weights, ``replaced`` ones by name; give the parameters back at the end.

    Args:
        plain: lend ordinary tensors, for kernels that look after their products themselves.
    """
    kept: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for prefix, module in cell.named_modules():
            own: dict[str, Any] = module._parameters
            for key, parameter in own.items():
                name = f"{prefix}.{key}" if prefix else key
                if parameter is None:
                    continue
                tensor = replaced.get(name, parameter)
                if not plain and (tensor.dim() >= 2 or name in loop.recurrent):
                    tensor = Weight.lend(loop, name, tensor)
                if tensor is not parameter:
                    kept.append((own, key, parameter))
                    own[key] = tensor
        yield
    finally:
        for own, key, parameter in kept:
            own[key] = parameter


def _looked_after(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a function that ``Weight`` knows; None for any other."""
    if func is F.linear:
        # PyTorch's name for the factor is `input`.
        return _linear(*args, **{"x" if key == "input" else key: kwargs[key] for key in kwargs})
    weight = next((a for a in args if isinstance(a, Weight)), None)
    if weight is None:
        return None
    if func in TRANSPOSITIONS and weight.dim() == 2:
        return Weight.lend(weight.loop, weight.key, weight.plain, transposed=not weight.transposed)
    masked = weight.loop.drops(weight.key)
    if len(args) == 2 and not isinstance(other := args[args[0] is weight], Weight):
        if func in PRODUCTS and args[1] is weight:
            return _matmul(weight, other)
        if func in MULTIPLICATIONS and masked:
            return weight.plain * weight.loop.reads(weight.key, other)
    if masked and func not in QUESTIONS:
        raise _unmasked(weight, func)
    return None


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if not isinstance(weight, Weight) or isinstance(x, Weight) or isinstance(bias, Weight):
        return None
    x = weight.loop.reads(weight.key, x)
    if weight.transposed:
        return F.linear(x, weight.plain.t(), bias)
    return weight.loop.product(weight.key, weight.plain, x, bias)


def _matmul(weight: Weight, x: Tensor) -> Tensor:
    """``x @ weight``."""
    x = weight.loop.reads(weight.key, x)
    if weight.transposed or (weight.dim() == 3 and x.dim() == 3):
        return weight.loop.product(weight.key, weight.plain, x, None)
    return x @ weight.plain


def _unmasked(weight: Weight, func: Any) -> ConfigError:
    name = getattr(func, "__name__", str(func))
    return ConfigError(
        f"model.recurrent_dropout: the cell reads its state through {weight.key} by {name}, which "
        f"the engine cannot drop from; write it as torch.nn.functional.linear(h, {weight.key}), "
        f"h @ {weight.key} or h * {weight.key}, or set model.recurrent_dropout=0"
    )

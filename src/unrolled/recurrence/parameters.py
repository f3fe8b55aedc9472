"""What happens to a cell's parameters while the engine runs the cell.

A cell multiplies by its parameters in plain PyTorch, as in ``F.linear(h, self.weight_hh)``,
``self.hidden(h)`` or ``h @ self.weight_hh``. For one pass over time ``wrapped_parameters`` puts a
``WrappedParameter`` in the place of each matrix (and of each recurrent weight that is to be
masked). PyTorch hands every
function that is called with one to ``WrappedParameter.__torch_function__``, which intercepts

- products (``linear``, ``matmul``, ``mm``, ``@``): under recurrent dropout what a recurrent weight
  reads is masked; the product takes the fastest kernel; and its weight's gradient is taken once
  for all steps (``PassProducts``);
- transpositions, so that a product with ``weight.T`` is still seen;
- under recurrent dropout, elementwise products with a recurrent weight, which are masked, too.

Every other function gets the plain tensor, so it computes what it always does. Only under
recurrent dropout is another function of a recurrent weight refused: it could not be masked.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from unrolled.cells.autocast import half_type
from unrolled.cells.base import Cell
from unrolled.errors import ConfigError
from unrolled.recurrence.dropout import RecurrentDropout
from unrolled.recurrence.products import AccumulatedGradient, linear

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


class PassProducts:
    """The products with a cell's parameters during one pass over time.

    Args:
        dropout: masks what recurrent weights read; None where there is no recurrent dropout.
        recurrent: the names of the recurrent weights, which matter where there is.

    Attributes:
        sequences: how many sequences the present step has; None before the first step, while the
            input of all steps is projected.
    """

    def __init__(
        self, dropout: RecurrentDropout | None = None, recurrent: Iterable[str] = ()
    ) -> None:
        self.dropout = dropout
        self.recurrent = frozenset(recurrent if dropout is not None else ())
        self.sequences: int | None = None
        self._accumulated: dict[tuple[str, int], AccumulatedGradient] = {}

    def is_masked(self, name: str) -> bool:
        """Whether recurrent dropout masks what this weight reads now."""
        return self.sequences is not None and name in self.recurrent

    def masked(self, name: str, x: Tensor) -> Tensor:
        """What the weight reads of ``x``, whose rows are its last dimension but one."""
        if self.dropout is None or self.sequences is None or name not in self.recurrent:
            return x
        return x * self.dropout.mask(name, x).narrow(-2, 0, self.sequences)

    def multiply(self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        """``x weightᵀ + bias``, or ``x weight`` where the weight has blocks (three dimensions).

        The projection's product stands alone. A step's product leaves its weight's gradient to
        the ``AccumulatedGradient`` of all steps.
        """
        known = self._accumulated.get((name, id(bias)))
        if known is not None and x.dim() == weight.dim() and torch.is_grad_enabled():
            return known(x)
        if self.sequences is None or not weight.requires_grad or not torch.is_grad_enabled():
            return x @ weight if weight.dim() == 3 else linear(x, weight, bias)
        if x.dim() != weight.dim():
            return x @ weight if weight.dim() == 3 else F.linear(x, weight, bias)
        if bias is not None and not isinstance(bias, nn.Parameter):
            # Computed anew in each step, so its gradient is not one of all steps.
            return self.multiply(name, weight, x, None) + bias
        return self.accumulated(name, weight, bias)(x)

    def accumulated(self, name: str, weight: Tensor, bias: Tensor | None) -> AccumulatedGradient:
        """The products of all steps with this weight and this bias."""
        key = (name, id(bias))
        if key not in self._accumulated:
            half = half_type(weight.device)
            self._accumulated[key] = AccumulatedGradient(weight, bias, half)
        return self._accumulated[key]


class WrappedParameter(Tensor):
    """A parameter whose products are intercepted.

    Attributes:
        products: computes them.
        key: the parameter's name in its cell.
        plain: the parameter as an ordinary tensor.
        transposed: whether the wrapper stands for ``plainᵀ``.
    """

    products: PassProducts
    key: str
    plain: Tensor
    transposed: bool

    @classmethod
    def wrap(
        cls, products: PassProducts, name: str, plain: Tensor, *, transposed: bool = False
    ) -> "WrappedParameter":
        """``plain``, or ``plainᵀ``, with its products left to ``products``."""
        weight = (plain.t() if transposed else plain).as_subclass(cls)
        weight.products, weight.key = products, name
        weight.plain, weight.transposed = plain, transposed
        return weight

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = _intercepted(func, args, kwargs)
            if result is not None:
                return result
            args, kwargs = tree_map_only(cls, cls.unwrap, (args, kwargs))
            return func(*args, **kwargs)

    @staticmethod
    def unwrap(weight: "WrappedParameter") -> Tensor:
        """The same values as an ordinary tensor."""
        return weight.plain.t() if weight.transposed else weight.plain


@contextmanager
def wrapped_parameters(
    cell: Cell, products: PassProducts, replaced: Mapping[str, Tensor]
) -> Iterator[None]:
    """Let ``products`` compute the products with a cell's parameters, within the ``with`` block.

    Args:
        replaced: tensors that take the place of the cell's own, by name.
    """
    # Duplicates, too: a parameter that a cell has under two names is read by either.
    own = dict(cell.named_parameters(remove_duplicate=False))
    plain: dict[str, Tensor] = {**own, **replaced}
    wrapped = {
        name: WrappedParameter.wrap(products, name, tensor)
        for name, tensor in plain.items()
        if tensor.dim() >= 2 or name in products.recurrent
    }
    with replaced_parameters(cell, {**replaced, **wrapped}):
        yield


@contextmanager
def replaced_parameters(cell: Cell, replaced: Mapping[str, Tensor]) -> Iterator[None]:
    """Put tensors in the place of a cell's parameters, or buffers, by name, within the ``with``
    block."""
    own: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, tensor in replaced.items():
            path, _, key = name.rpartition(".")
            module: Any = cell.get_submodule(path)
            parameters = module._parameters if key in module._parameters else module._buffers
            own.append((parameters, key, parameters[key]))
            parameters[key] = tensor
        yield
    finally:
        for parameters, key, parameter in reversed(own):
            parameters[key] = parameter


def _intercepted(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a function that is intercepted; None for any other."""
    if func is F.linear:
        # PyTorch's name for the factor is `input`.
        return _linear(*args, **{"x" if key == "input" else key: kwargs[key] for key in kwargs})
    weight = next((a for a in args if isinstance(a, WrappedParameter)), None)
    if weight is None:
        return None
    products = weight.products
    if func in TRANSPOSITIONS and weight.dim() == 2:
        return WrappedParameter.wrap(
            products, weight.key, weight.plain, transposed=not weight.transposed
        )
    masked = products.is_masked(weight.key)
    if len(args) == 2 and not isinstance(other := args[args[0] is weight], WrappedParameter):
        if func in PRODUCTS and args[1] is weight:
            return _matmul(weight, other)
        if func in MULTIPLICATIONS and masked:
            return weight.plain * products.masked(weight.key, other)
    if masked and func not in QUESTIONS:
        raise _unmasked(weight, func)
    return None


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if not isinstance(weight, WrappedParameter):
        return None
    if isinstance(x, WrappedParameter) or isinstance(bias, WrappedParameter):
        return None
    x = weight.products.masked(weight.key, x)
    if weight.transposed:
        return F.linear(x, weight.plain.t(), bias)
    return weight.products.multiply(weight.key, weight.plain, x, bias)


def _matmul(weight: WrappedParameter, x: Tensor) -> Tensor:
    """``x @ weight``."""
    x = weight.products.masked(weight.key, x)
    if weight.transposed or (weight.dim() == 3 and x.dim() == 3):
        return weight.products.multiply(weight.key, weight.plain, x, None)
    return x @ weight.plain


def _unmasked(weight: WrappedParameter, func: Any) -> ConfigError:
    name = getattr(func, "__name__", str(func))
    return ConfigError(
        f"model.recurrent_dropout: the cell reads its state through {weight.key} by {name}, which "
        f"the engine cannot drop from; write it as torch.nn.functional.linear(h, {weight.key}), "
        f"h @ {weight.key} or h * {weight.key}, or set model.recurrent_dropout=0"
    )

"""The operations that generated code has, by their names in a trace."""

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, decomposition_table

aten = torch.ops.aten
# An fx.Node, of whose arguments mypy believes too much.
Node = Any

PRODUCTS = (aten.mm.default, aten.addmm.default)
# What makes a tensor of one number for everyone.
CONSTANTS = (
    *(aten.full.default, aten.zeros.default, aten.ones.default, aten.new_zeros.default),
    *(aten.new_ones.default, aten.new_full.default, aten.scalar_tensor.default),
)


def literal(value: Any) -> Any:
    """A number as C writes it."""
    if value is None:
        return None
    number = float(value)
    if math.isnan(number):
        return "NAN"
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    return f"{number!r}f"


def _plus(sign: str) -> Callable[..., str]:
    def write(a: str, b: str, alpha: str = "1.0f") -> str:
        return f"{a} {sign} {b}" if alpha == "1.0f" else f"{a} {sign} {alpha} * {b}"

    return write


def _power(a: str, exponent: str) -> str:
    written = {
        "2.0f": f"({a}) * ({a})",
        "1.0f": a,
        "0.5f": f"sqrtf({a})",
        "-1.0f": f"1.0f / ({a})",
    }
    written["3.0f"] = f"({a}) * ({a}) * ({a})"
    return written.get(exponent, f"powf({a}, {exponent})")


def _clamp(a: str, low: str | None = None, high: str | None = None) -> str:
    if low is not None:
        a = f"largest({a}, {low})"
    return a if high is None else f"smallest({a}, {high})"


def _elu(a: str, alpha: str = "1.0f", scale: str = "1.0f", inner: str = "1.0f") -> str:
    return f"{a} > 0.0f ? {scale} * {a} : {alpha} * {scale} * exponential_beside_1({inner} * {a})"


def _softplus(a: str, beta: str = "1.0f", linear: str = "20.0f") -> str:
    soft = f"logarithm_beside_1(full_exponential({beta} * {a})) / {beta}"
    return f"({beta} * {a} > {linear} ? {a} : {soft})"


def _call(name: str) -> Callable[..., str]:
    return lambda *given: f"{name}({', '.join(given)})"


def _between(sign: str) -> Callable[[str, str], str]:
    return lambda a, b: f"{a} {sign} {b}"


# Number by number, from what each operation's arguments are called.
OPERATIONS: dict[Any, Callable[..., str]] = {
    aten.add.Tensor: _plus("+"),
    aten.add.Scalar: _plus("+"),
    aten.sub.Tensor: _plus("-"),
    aten.sub.Scalar: _plus("-"),
    aten.rsub.Scalar: lambda a, b, alpha="1.0f": _plus("-")(b, a, alpha),
    aten.rsub.Tensor: lambda a, b, alpha="1.0f": _plus("-")(b, a, alpha),
    aten.mul.Tensor: _between("*"),
    aten.mul.Scalar: _between("*"),
    aten.div.Tensor: _between("/"),
    aten.div.Scalar: _between("/"),
    aten.neg.default: lambda a: f"-{a}",
    aten.addcmul.default: lambda a, b, c, value="1.0f": f"{a} + {value} * {b} * {c}",
    aten.lerp.Tensor: lambda a, b, w: f"{a} + {w} * ({b} - {a})",
    aten.lerp.Scalar: lambda a, b, w: f"{a} + {w} * ({b} - {a})",
    aten.reciprocal.default: lambda a: f"1.0f / {a}",
    aten.pow.Tensor_Scalar: _power,
    aten.sqrt.default: _call("sqrtf"),
    aten.rsqrt.default: lambda a: f"1.0f / sqrtf({a})",
    aten.abs.default: _call("fabsf"),
    aten.exp.default: _call("full_exponential"),
    aten.log.default: _call("logarithm"),
    aten.log1p.default: _call("logarithm_beside_1"),
    aten.expm1.default: _call("exponential_beside_1"),
    aten.sin.default: _call("sinf"),
    aten.cos.default: _call("cosf"),
    aten.erf.default: _call("erff"),
    aten.sigmoid.default: _call("full_sigmoid"),
    aten.tanh.default: _call("exact_tanh"),
    aten.relu.default: _call("relu"),
    aten.leaky_relu.default: lambda a, slope="0.01f": f"{a} > 0.0f ? {a} : {slope} * {a}",
    aten.elu.default: _elu,
    aten.softplus.default: _softplus,
    aten.mish.default: lambda a: f"{a} * exact_tanh({_softplus(a)})",
    aten.gelu.default: lambda a: f"0.5f * {a} * (1.0f + erff({a} * 0.70710678f))",
    aten.sign.default: lambda a: f"(float)(({a} > 0.0f) - ({a} < 0.0f))",
    aten.maximum.default: _call("largest"),
    aten.minimum.default: _call("smallest"),
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: lambda a, high: _clamp(a, None, high),
    aten.hardtanh.default: lambda a, low="-1.0f", high="1.0f": _clamp(a, low, high),
    aten.where.self: lambda a, b, c: f"{a} ? {b} : {c}",
    aten.logical_not.default: lambda a: f"!({a})",
    aten.logical_and.default: _between("&&"),
    aten.logical_or.default: _between("||"),
    aten.bitwise_and.Tensor: _between("&"),
    aten.bitwise_or.Tensor: _between("|"),
    aten.bitwise_not.default: lambda a: f"!({a})",
}
for _name, _sign in {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}.items():
    for _kind in ("Scalar", "Tensor"):
        OPERATIONS[getattr(getattr(aten, _name), _kind)] = _between(_sign)

# What gives the same numbers in the same order.
UNCHANGED = (
    *(aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.clone.default),
    *(aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.detach.default),
    *(aten.alias.default, aten.lift_fresh_copy.default, aten.flatten.using_ints),
)
FILLED = {aten.zeros_like.default: 0.0, aten.ones_like.default: 1.0}
# What joins parts of a row, or puts one into it; and what cuts a row.
JOINED = (aten.cat.default, aten.slice_scatter.default, aten.select_scatter.default)
PARTS = (aten.split.Tensor, aten.split_with_sizes.default)
# What may put a row's dimensions in another order.
MOVES = (aten.permute.default, aten.transpose.int)
CUTS = (aten.slice.Tensor, aten.select.int, *PARTS)
REDUCTIONS = (
    *(aten.sum.dim_IntList, aten.sum.default, aten.mean.dim, aten.amax.default),
    *(aten.var.correction, aten.var_mean.correction),
)
SPREADS = (aten.expand.default, aten._to_copy.default)
# What may give whole numbers.
WHOLE = (aten.where.self, *UNCHANGED, *SPREADS)
KNOWN = frozenset(
    (*PRODUCTS, *CONSTANTS, *OPERATIONS, *UNCHANGED, *FILLED, *JOINED, *CUTS, *MOVES, *REDUCTIONS)
) | {*SPREADS}


def _layer_norm(
    x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dims = [*range(x.dim() - len(shape), x.dim())]
    variance, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    by = torch.rsqrt(variance + eps)
    y = (x - mean) * by
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, by


def _norm(
    x: Tensor,
    ord: float = 2,
    dim: list[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    if ord != 2 or dim is None:
        # As make_fx wants it: the operation stays as it is.
        declined: Any = NotImplemented
        return cast(Tensor, declined)
    found: Tensor = (x * x).sum(dim, keepdim, dtype=dtype).sqrt()
    return found


@functools.cache
def made_of() -> dict[Any, Callable[..., Any]]:
    """What every other operation is made of, in operations of the same kind."""
    found: dict[Any, Callable[..., Any]] = {
        **core_aten_decompositions().materialize(),
        **{
            name: parts
            for name, parts in decomposition_table.items()
            if parts.__module__.startswith("torch._decomp")
        },
        aten.native_layer_norm.default: _layer_norm,
        aten.linalg_vector_norm.default: _norm,
    }
    return {name: parts for name, parts in found.items() if name not in KNOWN}

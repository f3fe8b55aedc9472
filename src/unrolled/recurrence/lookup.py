"""Inputs that are rows of a table, as the vectors of tokens are.

A layer's projection of its input is a function of each row alone. Where a batch has 2,048 tokens
and 65 characters, the projection of the 65 is the same for a thirtieth of the arithmetic, and so
are the gradients of the projection's weight and of the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.cells.autocast import HALF, half_type
from unrolled.kernels.library import is_traced

# From so many inputs for each row of a table, it is faster to project the table.
READS = 2
# In half precision, whose products take less time than passes over what they give, from so many
# features (measured with AMX, where products are fastest).
HALF_FEATURES = 96


@dataclass(frozen=True)
class Lookup:
    """Inputs ``[..., features]`` as rows of a table.

    Attributes:
        table: ``[entries, features]``.
        ids: ``[...]``, which of them each is.
    """

    table: Tensor
    ids: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The inputs' type."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.table.device

    def checked_ids(self) -> Tensor:
        """The ids as code reads them that does not look whether they are there.

        Raises:
            IndexError: one is not.
        """
        low, high = map(int, self.ids.aminmax())
        if low < 0 or high >= len(self.table):
            raise IndexError(
                f"ids are between {low} and {high}; each must be one of the {len(self.table)} "
                "rows of the table"
            )
        return self.ids.long().contiguous()


# What a layer reads: ``[..., features]``, or where they come from.
Inputs = Tensor | Lookup


def pays(table: Tensor, ids: Tensor) -> bool:
    """Whether it is faster to project a table than what is read of it: on a CPU, where it is read
    often enough."""
    return (
        table.device.type == "cpu"
        and READS * len(table) <= ids.numel()
        and (half_type(table.device) is None or table.shape[1] >= HALF_FEATURES)
        and not is_traced()
        and not torch.compiler.is_exporting()
    )


def arranged(x: Inputs, arrange: Callable[[Tensor], Tensor]) -> Inputs:
    """Inputs in another order or layout, which ``arrange`` gives to whatever is one an input."""
    return Lookup(x.table, arrange(x.ids)) if isinstance(x, Lookup) else arrange(x)


def vectors(x: Inputs) -> Tensor:
    """The inputs themselves, ``[..., features]``."""
    return F.embedding(x.ids, x.table) if isinstance(x, Lookup) else x


def mapped(function: Callable[[Tensor], Tensor], x: Inputs) -> Inputs:
    """What a function of each input gives, computed of a table where there is one."""
    return Lookup(function(x.table), x.ids) if isinstance(x, Lookup) else function(x)


def projected(project: Callable[[Tensor], Tensor], x: Inputs) -> Tensor:
    """What ``project`` makes of each input, ``[..., projected size]``.

    It is asked for the rows of a table, unless it draws random numbers: each input has its own.
    """
    if isinstance(x, Lookup):
        before = torch.get_rng_state()
        z = mapped(project, x)
        if torch.equal(before, torch.get_rng_state()):
            return rows_of(z)
        torch.set_rng_state(before)
    return project(vectors(x))


def rows_of(x: Inputs) -> Tensor:
    """As ``vectors``, of what was computed of a table: gradients of the same row are added up in
    fp32 at least."""
    if isinstance(x, Lookup):
        rows: Tensor = _Rows.apply(x.table, x.ids)  # type: ignore[no-untyped-call]
        return rows
    return x


def added_up(grad: Tensor, ids: Tensor, entries: int) -> Tensor:
    """Gradients of rows ``[..., features]``, added up for each row of a table of so many entries,
    in fp32 at least."""
    wide = grad.float() if grad.dtype in HALF else grad
    add_up = torch.ops.aten.embedding_dense_backward.default
    table: Tensor = add_up(wide, ids, entries, -1, False)
    return table


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.entries = len(table)
        return F.embedding(ids, table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        return added_up(grad, ids, ctx.entries).to(grad.dtype), None

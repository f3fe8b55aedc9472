"""What a cell costs: arithmetic per token, and numbers carried from step to step."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from unrolled.cells.base import Cell
from unrolled.errors import CellError


def flops(cell: Cell) -> int:
    """Floating-point operations of one token's forward pass: two for each multiplication in a
    matrix product.

    Element-wise work (gates, normalization, peepholes, a linear recurrence itself) is not counted,
    as is usual: it grows with the hidden size, products with its square. A cell on the meta
    device, which has shapes and no storage, is counted without computing anything.

    Raises:
        CellError: the cell is on the meta device and asks for values.
    """
    like = next(cell.parameters(), torch.empty(0)).detach()
    # A copy, for a cell may keep something of a pass, without dropout, which would draw.
    subject = copy.deepcopy(cell).eval()
    with like.device, torch.no_grad(), FlopCounterMode(display=False) as counter:
        try:
            z = subject.project(like.new_zeros(1, subject.window * subject.input_size))
            subject.output(z, subject.step(z, subject.initial_state(1, z)))
        except RuntimeError as error:
            if like.device.type != "meta":
                raise
            raise CellError(
                f"{type(cell).__name__} cannot be counted for budget.flops, since its code asks "
                "for values where there are only shapes yet "
                f"({str(error).splitlines()[0]}); write it without that, or use budget.parameters"
            ) from error
    return int(counter.get_total_flops())


def state_size(cell: Cell) -> int:
    """Numbers that one sequence carries from step to step, inputs of a window included."""
    return sum(cell.state_sizes) + (cell.window - 1) * cell.input_size

"""What a cell costs: arithmetic per token, and numbers carried from step to step."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from unrolled.cells.base import Cell


def flops(cell: Cell) -> int:
    """Floating-point operations of one token's forward pass: two for each multiplication in a
    matrix product.

    Element-wise work is not counted, as is usual: it grows with the hidden size, products with
    its square.
    """
    # On the meta device a cell has shapes and no storage, so nothing is computed.
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        shape = copy.deepcopy(cell).to("meta")
        z = shape.project(torch.empty(1, shape.window * shape.input_size))
        state = shape.step(z, shape.initial_state(1, z))
        shape.output(z, state)
    return int(counter.get_total_flops())


def state_size(cell: Cell) -> int:
    """Numbers that one sequence carries from step to step, inputs of a window included."""
    return sum(cell.state_sizes) + (cell.window - 1) * cell.input_size

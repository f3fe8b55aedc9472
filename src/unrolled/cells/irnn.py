"""The simple network of rectified linear units that starts as the identity."""

from torch import nn

from unrolled.cells.rnn_relu import RnnRelu
from unrolled.errors import ConfigError


class IRNN(RnnRelu):
    """Le, Jaitly & Hinton 2015 (arXiv 1504.00941): only the start differs from ``RnnRelu``.

    h_t = max(0, W x_t + b + U h_{t-1} + b')

    State: ``h`` ``[batch, hidden_size]``. It is not bounded; clip the gradient.
    Initialization: the paper's, U = scale I, W from N(0, input_std²), biases zero: without input,
    a state that is not negative stays as it is.

    Args:
        scale: of the identity; 1 in the paper, and 0.01 where long memories do harm.
        input_std: of W; 0.001 in the paper.

    Raises:
        ConfigError: ``scale`` is below zero, or ``input_std`` is not above it.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, scale: float = 1.0, input_std: float = 0.001
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not scale >= 0:
            raise ConfigError(f"cell.scale={scale}: must be 0 or more")
        if not input_std > 0:
            raise ConfigError(
                f"cell.input_std={input_std}: must be above 0; at 0 no unit could start to learn"
            )
        self.scale = scale
        self.input_std = input_std

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight_ih, std=self.input_std)
        nn.init.eye_(self.weight_hh)
        self.weight_hh.data.mul_(self.scale)
        for bias in (self.bias_ih, self.bias_hh):
            if bias is not None:
                nn.init.zeros_(bias)

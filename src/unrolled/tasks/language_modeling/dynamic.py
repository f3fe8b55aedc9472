"""Dynamic evaluation: the weights follow the text that has been read."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from unrolled.data.streams import Streams
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import States, detach
from unrolled.tasks.adaptation import DynamicEvaluation

# Streams of a training batch whose gradient the statistics are of, as in the paper's program.
STREAMS = 100


class DynamicWeights:
    """A model's weights, moved by a step after each segment (Krause et al. 2018, equations 4 to
    7).

    With g a segment's gradient and θ₀ the trained weights, ``sgd`` moves θ by
    ``-lr · g + decay · (θ₀ - θ)``, and ``rms`` by
    ``-lr · g / (r + epsilon) + min(1, decay · r / mean(r)) · (θ₀ - θ)``, r being the root mean
    square of each weight's gradient over the training split.

    Memory is that of the model three times over, whatever the length of the text.

    Args:
        root_mean_squares: r of each parameter; None with ``sgd``.
    """

    def __init__(
        self,
        model: RecurrentModel,
        options: DynamicEvaluation,
        root_mean_squares: list[Tensor] | None,
    ) -> None:
        self.options = options
        self.parameters = learnable(model)
        self.trained = [p.detach().clone() for p in self.parameters]
        self.root_mean_squares = root_mean_squares
        self.mean = 1.0
        if root_mean_squares is not None:
            # The mean over tensors of their means, as in the paper's program.
            means = [float(r.mean()) for r in root_mean_squares]
            self.mean = sum(means) / len(means) or 1.0

    def learn(self, loss: Tensor) -> None:
        """Move the weights by the gradient of a segment's mean loss."""
        gradients = gradients_of(loss, self.parameters)
        rate, decay = self.options.rate, self.options.decay
        with torch.no_grad():
            for place, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
                back = self.trained[place] - p
                if self.root_mean_squares is None:
                    p.add_(decay * back - rate * g)
                    continue
                r = self.root_mean_squares[place]
                decays = (decay / self.mean * r).clamp(max=1)
                p.add_(decays * back - rate * g / (r + self.options.epsilon))

    @torch.no_grad()
    def restore(self) -> None:
        """Put the trained weights back."""
        for parameter, trained in zip(self.parameters, self.trained, strict=True):
            parameter.copy_(trained)


def root_mean_squares(
    model: RecurrentModel, streams: Streams, batches: int, device: torch.device
) -> list[Tensor]:
    """For each parameter the root of the mean square of its gradient over batches of training
    text, without dropout.

    Args:
        streams: of the training text.
        batches: so many of them; 0: all.
    """
    parameters = learnable(model)
    sums = [torch.zeros_like(p, requires_grad=False) for p in parameters]
    count = min(batches or len(streams), len(streams))
    states: States | None = None
    for place in range(count):
        batch = streams[place]
        with recording():
            hidden, states = model(batch.inputs.to(device), states)
            loss = model.head.loss(hidden, batch.targets.to(device)) / batch.size
        states = detach(states)
        for total, gradient in zip(sums, gradients_of(loss, parameters), strict=True):
            total += gradient.square()
    return [(total / count).sqrt() for total in sums]


def learnable(model: RecurrentModel) -> list[Tensor]:
    """The parameters that training changes, shared ones once."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients_of(loss: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """Of each parameter, zero where the loss does not depend on it; none is left in ``.grad``."""
    with recording():
        loss.backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return [gradient.detach() for gradient in gradients]


@contextmanager
def recording() -> Iterator[None]:
    """Gradients of a model without dropout: cuDNN has them in training mode alone."""
    cudnn = torch.backends.cudnn
    off = cudnn.flags(enabled=False) if torch.cuda.is_available() else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), off:
        yield

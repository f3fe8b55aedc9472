"""Whether a model fits into memory, asked before any of it is allocated."""

import torch
from omegaconf import DictConfig

from unrolled.cell_checks.memory import available_bytes, written
from unrolled.errors import DeviceError

# Numbers of four bytes that training keeps for each parameter: itself, its gradient, and two more
# for the optimizers that have two.
NUMBERS = 4


def require_memory(config: DictConfig, parameters: int, hidden_size: int) -> None:
    """Refuse a model that could not be trained in the memory that is free now.

    Raises:
        DeviceError: what it needs, and what there is.
    """
    needed = 4 * NUMBERS * parameters
    free = _free(on_gpu=config.trainer.accelerator == "gpu")
    if free is not None and needed > free:
        raise DeviceError(
            f"model.hidden_size={hidden_size:,} with model.embedding_size="
            f"{config.model.embedding_size:,} and model.layers={config.model.layers:,}: "
            f"{parameters:,} parameters need {written(needed)} to train, and {written(free)} of "
            "memory are free; make the model smaller"
        )


def _free(*, on_gpu: bool) -> int | None:
    """Bytes that are free where the run trains; None where the system does not tell."""
    if on_gpu:
        return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
    return available_bytes()

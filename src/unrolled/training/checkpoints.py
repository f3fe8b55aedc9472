"""The two checkpoints of a run, read without executing anything that they contain."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from unrolled.errors import RunError

FOLDER = "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """Weights and the step they are from."""

    path: Path
    step: int
    weights: dict[str, Tensor]


def best_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint with the best monitored validation metric."""
    return read_checkpoint(folder / FOLDER / "best.ckpt")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's weights.

    Raises:
        RunError: it is missing, damaged, or holds more than plain data.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint; did the run reach its first validation?")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(path, int(content["global_step"]), content["state_dict"])
    # A cut-off file can fail in any of these ways, and a file of something else by its type.
    except (UnpicklingError, RuntimeError, LookupError, TypeError, EOFError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{path}: damaged, or not a checkpoint of a run ({reason})") from error


def load_weights(module: nn.Module, checkpoint: Checkpoint, prefix: str = "") -> None:
    """Put a checkpoint's weights into a module of the same shape.

    Args:
        prefix: of the names of the module's weights in the checkpoint, which are all it gets.

    Raises:
        RunError: the module has other parameters.
    """
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.weights.items()
        if name.startswith(prefix)
    }
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"{checkpoint.path}: its weights do not fit the model of the run's configuration"
        ) from error

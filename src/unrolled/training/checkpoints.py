"""The checkpoints of a run: written in one step, read without executing anything they contain.

``best.ckpt`` has the weights with the best monitored metric. ``last.ckpt`` has all it takes to go
on exactly, and ``previous.ckpt`` is the one before, for when the last is damaged.
"""

import logging
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from unrolled.errors import RunError
from unrolled.runs.files import atomic_path
from unrolled.runs.record import BEST, CHECKPOINTS, best_path

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
# What the weights' names began with in checkpoints of the first versions.
RENAMED = {
    "model.embedding.": "model.encoder.",
    "model.projection.": "model.head.projection.",
    "model.head.weight": "model.head.linear.weight",
    "model.head.bias": "model.head.linear.bias",
}
# What a pickle that is not in an archive begins with.
PICKLE = b"\x80"
# Our own part of a checkpoint to continue from, beside Lightning's.
EXTRA = "unrolled"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Weights and the step they are from."""

    path: Path
    step: int
    weights: dict[str, Tensor]


def best_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint with the best monitored validation metric.

    Raises:
        RunError: there is none; or as ``read_checkpoint``.
    """
    return read_checkpoint(best_path(folder))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's weights.

    Raises:
        RunError: it is damaged, or holds more than plain data.
    """
    content = read_content(path)
    return Checkpoint(path, int(content["global_step"]), content["state_dict"])


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


def fitted_buffers(module: nn.Module) -> dict[str, Tensor]:
    """What a module keeps with its weights and does not learn, such as an order of tokens."""
    learned = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {name: value for name, value in module.state_dict().items() if name not in learned}


def load_buffers(module: nn.Module, checkpoint: Checkpoint, prefix: str = "") -> None:
    """Put what a checkpoint has besides weights into a module of the same shape.

    Args:
        prefix: of the names of the module's buffers in the checkpoint.

    Raises:
        RunError: the module has other buffers.
    """
    for name, value in fitted_buffers(module).items():
        stored = checkpoint.weights.get(prefix + name)
        if stored is None or stored.shape != value.shape:
            raise RunError(
                f"{checkpoint.path}: its {prefix}{name} does not fit the model of the run's "
                "configuration"
            )
        value.copy_(stored)


def last_checkpoint(folder: Path, identity: str) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint that the run ``identity`` can go on from, and what is in it.

    A damaged one is said so, and the one before is taken; None where there is none.
    """
    for path in (folder / CHECKPOINTS / LAST, folder / CHECKPOINTS / PREVIOUS):
        if not path.is_file():
            continue
        try:
            content = read_content(path)
        except RunError as error:
            log.warning("%s; the checkpoint before it is taken, if there is one", error)
            continue
        if content.get(EXTRA, {}).get("identity") != identity:
            continue
        if _remembers_a_best(content):
            try:
                best_checkpoint(folder)
            except RunError as error:
                log.warning("%s; without the best weights so far the run starts over", error)
                return None
        return path, content
    return None


def _remembers_a_best(content: dict[str, Any]) -> bool:
    """Whether the run had a validation before the checkpoint, and so wrote its best weights."""
    memories = content.get("callbacks", {}).values()
    return any(memory.get("best_k_models") for memory in memories if isinstance(memory, dict))


def keep_previous(folder: Path) -> None:
    """Make the last checkpoint the previous one, before a new last one is written."""
    last = folder / CHECKPOINTS / LAST
    if last.is_file():
        last.replace(last.with_name(PREVIOUS))


class AtomicCheckpoints(TorchCheckpointIO):
    """How Lightning writes and reads checkpoints: whole or not at all, and plain data only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                # To a file of Python's, whose errors say what was wrong with the disk.
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # PyTorch trips over the unfinished end of the file, and buries why it is.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
            file.flush()
            # The name must not be there before the content is, whatever happens to the machine.
            os.fsync(file.fileno())

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_content(Path(path))


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, and a memory of it that goes along when the folder is moved."""

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=folder / CHECKPOINTS,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    # It writes after validations alone, and need not be asked at each step.
    on_train_batch_end = Callback.on_train_batch_end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here: dict[str, Any] = {"dirpath": self.dirpath}
        if scores := list(state_dict["best_k_models"].values()):
            path = str(Path(str(self.dirpath)) / BEST)
            here |= {"best_model_path": path, "kth_best_model_path": path}
            here["best_k_models"] = {path: scores[0]}
        super().load_state_dict({**state_dict, **here})


def read_content(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint, checked against its own checksums, weights by today's names.

    Raises:
        RunError: it is damaged, or holds more than plain data.
    """
    try:
        if not zipfile.is_zipfile(path) and path.read_bytes()[:1] == PICKLE:
            raise UnpicklingError("a bare pickle")
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} has changed")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not {"global_step", "state_dict"} <= content.keys():
            raise LookupError("it holds something else")
    except UnpicklingError as error:
        raise RunError(
            f"{path}: it holds Python objects besides plain data, which could run code when they "
            "are read, so it is not read; a run's own checkpoints hold none"
        ) from error
    # A cut-off file can fail in any of these ways, and a file of something else by its type.
    except (
        zipfile.BadZipFile,
        RuntimeError,
        LookupError,
        TypeError,
        EOFError,
        OSError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{path}: damaged, or not a checkpoint of a run ({reason})") from error
    content["state_dict"] = {
        _renamed(name): value for name, value in content["state_dict"].items()
    }
    return content


def _renamed(name: str) -> str:
    for before, now in RENAMED.items():
        if name.startswith(before):
            return now + name.removeprefix(before)
    return name

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.errors import RunError, StorageError
from unrolled.runs.record import CHECKPOINTS
from unrolled.training.checkpoints import (
    AtomicCheckpoints,
    Checkpoint,
    best_checkpoint,
    load_weights,
    read_checkpoint,
)


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def whole(module: nn.Module, step: int = 7) -> dict[str, Any]:
    return {"global_step": step, "state_dict": module.state_dict()}


def test_the_best_checkpoint_has_its_step_and_its_weights(tmp_path: Path) -> None:
    module = nn.Linear(2, 3)
    save(tmp_path / CHECKPOINTS / "best.ckpt", whole(module))
    found = best_checkpoint(tmp_path)
    assert found.step == 7
    other = nn.Linear(2, 3)
    load_weights(other, found)
    assert torch.equal(other.weight, module.weight)
    assert torch.equal(other.bias, module.bias)


def test_a_part_is_loaded_by_its_prefix(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    task = nn.ModuleDict({"model": model, "other": nn.Linear(4, 4)})
    found = read_checkpoint(save(tmp_path / "a.ckpt", whole(task)))
    part = nn.Linear(2, 3)
    load_weights(part, found, prefix="model.")
    assert torch.equal(part.weight, model.weight)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"best\.ckpt: no such checkpoint"):
        best_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"a\.ckpt: damaged"):
        read_checkpoint(path)


def test_a_cut_off_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", whole(nn.Linear(50, 50)))
    for share in (0.1, 0.5, 0.95):
        part = tmp_path / "part.ckpt"
        part.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(RunError, match=r"part\.ckpt: damaged"):
            read_checkpoint(part)


@pytest.mark.parametrize("content", [{}, {"global_step": 3}, {"state_dict": {}}, [1, 2], None, 5])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(RunError, match="not a checkpoint of a run"):
        read_checkpoint(save(tmp_path / "a.ckpt", content))


class Trap:
    """What unpickles by making a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_checkpoint_that_would_run_code_does_not(tmp_path: Path, how: str) -> None:
    sprung = tmp_path / "sprung"
    content = {**whole(nn.Linear(2, 2)), "trap": Trap(sprung)}
    path = tmp_path / "a.ckpt"
    if how == "torch":
        save(path, content)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(RunError, match=r"a\.ckpt: it holds Python objects besides plain data"):
        read_checkpoint(path)
    assert not sprung.exists()


@pytest.mark.parametrize("module", [nn.Linear(3, 3), nn.Linear(2, 3, bias=False), nn.GRU(2, 3)])
def test_weights_of_another_model_are_refused(module: nn.Module) -> None:
    weights = nn.Linear(2, 3).state_dict()
    with pytest.raises(RunError, match=r"best\.ckpt: its weights do not fit"):
        load_weights(module, Checkpoint(Path("best.ckpt"), 1, weights))


# Where the file is closed, and where PyTorch buries the cause under an error of its own.
@pytest.mark.parametrize("room", [100, 10_000])
def test_a_full_disk_is_said_wherever_it_is_met(
    tmp_path: Path, small_disk: Callable[[int], None], room: int
) -> None:
    path = tmp_path / "last.ckpt"
    content = {"one": torch.zeros(1_000), "two": torch.zeros(4_000)}
    small_disk(room)
    with pytest.raises(StorageError, match=r"cannot be written .File too large"):
        AtomicCheckpoints().save_checkpoint(content, path)
    assert not list(tmp_path.iterdir())

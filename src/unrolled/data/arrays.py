"""Labelled sequences from arrays that NumPy saved."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.files import existing_file
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Split
from unrolled.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Arrays:
    """What one file holds; ``targets`` are ``[examples, values]``, or the words of the classes."""

    inputs: Sequences
    targets: npt.NDArray[np.float64] | list[str]
    groups: list[str] | None


def load(
    name: str,
    path: str,
    validation_path: str | None = None,
    test_path: str | None = None,
    values: bool | None = None,
    split: Split = Split(),
) -> LabeledSequences:
    """Files that ``numpy.savez`` wrote, of these arrays:

    - ``inputs``: ``[examples, time, features]``, or ``[examples, time]`` of one feature;
    - ``targets``: classes ``[examples]``, whole numbers or words; or values, ``[examples]`` or
      ``[examples, values]``;
    - ``lengths``: the steps of each sequence ``[examples]``; without it, each has all;
    - ``groups``: of each example ``[examples]``, for ``split.by=group``; may be missing.

    Args:
        validation_path, test_path: files of these splits' own.
        values: whether targets are values; None: they are if they are of a fractional type, or
            several an example.

    Raises:
        DataError: a file cannot be read, an array is missing or has another shape than the others
            ask for, or a number is not finite; the message has the example.
    """
    paths = {"train": path, "validation": validation_path, "test": test_path}
    parts: dict[str, _Arrays] = {}
    for which, one in paths.items():
        if one is None:
            continue
        file = existing_file(one, "dataset.path" if which == "train" else f"dataset.{which}_path")
        arrays = _read(file)
        if values is None:
            values = arrays["targets"].dtype.kind == "f" or arrays["targets"].ndim == 2
        parts[which] = _checked(file, arrays, values)
        _require_alike(file, parts[which], parts["train"])
    every = list(parts.values())
    first = every[0].inputs.steps
    constant = int((first == first[:1]).all(axis=0).sum()) if len(first) > 1 else 0
    ends = np.cumsum([0, *(len(part.inputs) for part in every)])
    given = {which: np.arange(ends[i], ends[i + 1]) for i, which in enumerate(parts)}
    targets: Any = [target for part in every for target in part.targets]
    names: list[str] = []
    if values:
        targets = np.stack(targets) if targets else np.empty((0, 1))
        names = [f"value {i + 1}" for i in range(targets.shape[1])]
    return LabeledSequences(
        name,
        Sequences.joined([part.inputs for part in every]),
        targets,
        given=given if len(given) > 1 else {},
        groups=None
        if every[0].groups is None
        else [group for part in every for group in part.groups or ()],
        split=split,
        feature_names=[f"feature {i + 1}" for i in range(first.shape[1])],
        target_names=names,
        treated={"constant features": constant} if constant else {},
    )


def _read(path: Path) -> dict[str, Array]:
    try:
        # Pickled objects would run code.
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise DataError(f"{path}: one array; save several with numpy.savez (.npz)")
        with file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"{path}: cannot be read as arrays of numpy.savez, plain and not of objects ({reason})"
        ) from error
    for key in ("inputs", "targets"):
        if key not in arrays:
            has = ", ".join(arrays) or "none"
            raise DataError(f"{path}: no array called {key} (it has: {has})")
    return arrays


def _checked(path: Path, arrays: dict[str, Array], values: bool) -> _Arrays:
    """The arrays of one file, each of the shape and the type that it must have."""
    inputs, targets = arrays["inputs"], arrays["targets"]
    if inputs.ndim == 2:
        inputs = inputs[:, :, None]
    if inputs.ndim != 3 or inputs.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: inputs are {inputs.dtype} of shape {list(inputs.shape)}, and numbers "
            "[examples, time, features] are needed"
        )
    count, time = inputs.shape[:2]
    for key, array in arrays.items():
        if key in ("targets", "lengths", "groups") and array.shape[:1] != (count,):
            raise DataError(
                f"{path}: {key} are of shape {list(array.shape)}, and there are {count} inputs"
            )
    if targets.ndim > 1 + values or (values and targets.dtype.kind not in "fiub"):
        wanted = "numbers [examples, values]" if values else "classes [examples]"
        raise DataError(
            f"{path}: targets are {targets.dtype} of shape {list(targets.shape)}, and {wanted} "
            "are needed; dataset.values says which"
        )
    lengths = arrays.get("lengths", np.full(count, time))
    wrong = np.ones(count, bool) if lengths.ndim != 1 else (lengths < 1) | (lengths > time)
    if lengths.dtype.kind not in "iu" or wrong.any():
        raise DataError(
            f"{path}: lengths are whole numbers from 1 to {time}, one an example; that of example "
            f"{int(wrong.argmax()) + 1} is {lengths[wrong.argmax()]}"
        )
    there = np.arange(time) < lengths[:, None]
    # What overflows is refused with its place.
    with np.errstate(over="ignore"):
        numbers = inputs.astype(np.float32)
    _require_finite(path, np.where(there[:, :, None], numbers, 0), inputs, "inputs")
    if values:
        targets = targets.reshape(count, -1).astype(np.float64)
        _require_finite(path, targets, targets, "targets")
    groups = arrays.get("groups")
    return _Arrays(
        Sequences(numbers[there], np.cumsum([0, *lengths], dtype=np.int64)),
        targets if values else [str(_plain(target)) for target in targets.tolist()],
        None if groups is None else [str(group) for group in groups.tolist()],
    )


def _require_finite(path: Path, numbers: Array, shown: Array, what: str) -> None:
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        place = tuple(bad[0].tolist())
        inside = "".join(f"[{index}]" for index in place)
        raise DataError(
            f"{path}: {what}{inside} is {shown[place]}, which is infinite, undefined or too large "
            "for float32; mend it, or leave the example out"
        )


def _require_alike(path: Path, part: _Arrays, first: _Arrays) -> None:
    """Refuse a split that has other features, values or no groups."""
    features = (part.inputs.steps.shape[1], first.inputs.steps.shape[1])
    if features[0] != features[1]:
        raise DataError(
            f"{path}: {features[0]} features, and the training split has {features[1]}"
        )
    if isinstance(part.targets, np.ndarray) and isinstance(first.targets, np.ndarray):
        values = (part.targets.shape[1], first.targets.shape[1])
        if values[0] != values[1]:
            raise DataError(
                f"{path}: {values[0]} values an example, and the training split has {values[1]}"
            )
    if (part.groups is None) != (first.groups is None):
        raise DataError(f"{path}: groups are in some of the files only; give them to all or none")


def _plain(label: Any) -> Any:
    """A whole number without its fraction."""
    return int(label) if isinstance(label, float) and label.is_integer() else label

"""A folder for each class and a file for each text, as the IMDB reviews."""

from pathlib import Path

from unrolled.data.files import existing_folder, read_text, require_file
from unrolled.data.gathering import Gathering, Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.data.text import NAMES
from unrolled.errors import DataError


def load(
    name: str,
    path: str,
    classes: list[str] | None = None,
    encoding: str = "utf-8",
    missing: Missing = "refuse",
    split: Split = Split(),
) -> LabeledSequences:
    """Every file under a class's folder, in the order of the names.

    Where the folder holds one called ``train``, those called ``train``, ``valid`` (or
    ``validation``, ``val``, ``dev``) and ``test`` are the splits, and the classes are in them.
    Hidden files, and files beside the folders of the classes, are not read.

    Args:
        classes: the folders that count; None: all of them.

    Raises:
        DataError: a folder or a class is not there, or a file cannot be read or is empty.
    """
    folder = existing_folder(path, "dataset.path")
    splits = _splits(folder)
    gathered = Gathering(missing)
    for which, place in splits.items():
        there = _folders(place)
        counted = there if classes is None else {c: there[c] for c in classes if c in there}
        absent = [one for one in classes or () if one not in there]
        if absent or not counted:
            raise DataError(
                f"{place}: no folder for {f'the class {absent[0]}' if absent else 'any class'} "
                f"(it has: {', '.join(there) or 'none'})"
            )
        for label, inside in counted.items():
            for file in sorted(inside.rglob("*")):
                if file.is_dir() or file.name.startswith("."):
                    continue
                require_file(file, file)
                # An empty file is an example without a text, which may be left out.
                text = read_text(file, encoding) if file.stat().st_size else ""
                gathered.add(text.strip(), label, str(file), split=which)
        if classes is not None:
            gathered.treated["folders of other classes left out"] += len(there) - len(counted)
    return gathered.labeled(name, split, tuple(which for which in splits if which != "train"))


def _splits(folder: Path) -> dict[str, Path]:
    """For each split its folder, training first; all in one where there are no folders of
    splits."""
    there = _folders(folder)
    if "train" not in there:
        return {"train": folder}
    result = {}
    for split, names in NAMES.items():
        found = [name for name in names if name in there]
        if len(found) > 1:
            raise DataError(
                f"dataset.path={folder}: {' and '.join(found)} for the {split} split; leave one"
            )
        if found:
            result[split] = there[found[0]]
    return result


def _folders(folder: Path) -> dict[str, Path]:
    """The folders in a folder, by their names."""
    inside = sorted(folder.iterdir())
    return {one.name: one for one in inside if one.is_dir() and not one.name.startswith(".")}

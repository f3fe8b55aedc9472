"""Files of lines that begin with their class, as the TREC questions:
``DESC:manner How did serfdom develop in and then leave Russia ?``"""

from typing import Literal

from unrolled.data.files import existing_file, read_lines
from unrolled.data.gathering import Gathering, Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import ConfigError


def load(
    name: str,
    path: str,
    validation_path: str | None = None,
    test_path: str | None = None,
    separator: str = " ",
    level: Literal["fine", "coarse"] = "fine",
    encoding: str = "utf-8",
    missing: Missing = "refuse",
    split: Split = Split(),
) -> LabeledSequences:
    """The lines of the files, each one's class up to the first ``separator``.

    Args:
        separator: ``\\t`` stands for a tab.
        validation_path, test_path: files of these splits' own.
        level: of classes such as ``DESC:manner``, whether ``fine`` (the whole) or ``coarse``
            (what is before the colon) counts.

    Raises:
        ConfigError: ``separator`` is empty.
        DataError: a file is missing or cannot be read, or a line has no class or no text.
    """
    if not separator:
        raise ConfigError("dataset.separator is empty; it parts the class from the text")
    # A tab is hard to type in a shell.
    separator = separator.replace("\\t", "\t")
    paths = {"train": path, "validation": validation_path, "test": test_path}
    gathered = Gathering(missing)
    for which, given in paths.items():
        if given is None:
            continue
        key = "dataset.path" if which == "train" else f"dataset.{which}_path"
        file = existing_file(given, key)
        for number, line in enumerate(read_lines(file, encoding), start=1):
            label, _, text = line.partition(separator)
            if level == "coarse":
                label = label.partition(":")[0]
            gathered.add(text.strip(), label, f"{file}, line {number}", split=which)
    own = tuple(which for which in ("validation", "test") if paths[which] is not None)
    return gathered.labeled(name, split, own)

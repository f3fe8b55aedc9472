"""Prints constraints by which pip installs the oldest version that pyproject.toml allows of each
dependency: ``python .ci/oldest.py > oldest.txt; make test CONSTRAINTS=oldest.txt``."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def oldest(project: Path = PROJECT) -> list[str]:
    """``name==version`` for each dependency, those of extras too."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    groups = [table["dependencies"], *table["optional-dependencies"].values()]
    found = {
        match[1]: match[2]
        for requirement in (one for group in groups for one in group)
        if (match := re.fullmatch(r"([\w.-]+)(?:>=|==)([\w.]+)(?:,.*)?", requirement))
    }
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    print(*oldest(), sep="\n")

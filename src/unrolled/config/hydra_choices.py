"""Launchers and sweepers of Hydra's plug-ins that are called as ours are.

``hydra-optuna-sweeper`` and ``hydra-submitit-launcher`` register ``optuna``, ``submitit_local``
and ``submitit_slurm``. Hydra takes what is registered for the schema of a file of the same name,
and so would refuse ours as soon as these packages are installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

PREFIX = "hydra_"


@contextmanager
def beside_ours(conf: Path) -> Iterator[None]:
    """Call theirs ``hydra_optuna`` and so on for the time of the block. Other programs of this
    process that use Hydra find them as they were.

    Args:
        conf: our config groups.
    """
    renamed = []
    for path in sorted(conf.glob("hydra/*/*.yaml")):
        group: Any = ConfigStore.instance().repo
        for part in path.parent.relative_to(conf).parts:
            group = group.get(part, {})
        if path.name in group:
            theirs = group.pop(path.name)
            other = f"{PREFIX}{path.name}"
            group[other] = replace(theirs, name=other)
            renamed.append((group, path.name, theirs))
    try:
        yield
    finally:
        for group, name, theirs in renamed:
            group[name] = theirs
            group.pop(f"{PREFIX}{name}", None)

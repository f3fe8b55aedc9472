"""Where a run ran: what a record needs to be judged, or repeated, elsewhere."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

import unrolled
from unrolled.config.build import OURS
from unrolled.config.plugins import plugin_of
from unrolled.config.schema import BUILT
from unrolled.kernels.library import compiler
from unrolled.recurrence.processor import cpu_name, instruction_set

PACKAGES = (
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "tokenizers",
    "numpy",
)


def describe_environment(config: DictConfig | None = None) -> dict[str, Any]:
    """Versions, processor, the instructions that PyTorch uses of it, C compiler, GPU, threads, and
    the state of the source it ran from.

    Args:
        config: of a run; the versions of the plug-ins that it names are recorded, too.
    """
    return {
        "unrolled": unrolled.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: version(name) for name in PACKAGES} | _plugins(config),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "instruction_set": instruction_set(),
        "c_compiler": compiler(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **_source(),
    }


def _plugins(config: DictConfig | None) -> dict[str, str]:
    """The versions of the plug-ins that a configuration names."""
    nodes = [config[group] for group in BUILT] if config is not None else []
    targets = [str(node.get("_target_", "")) for node in nodes]
    found = [plugin_of(one) for one in targets if one and not one.startswith(OURS)]
    return {plugin.distribution: plugin.version for plugin in found if plugin}


def _source() -> dict[str, Any]:
    """The commit of the checkout that the code was imported from, and whether it was changed
    since."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"git_commit": None, "dirty": None}
    status = _git(folder, "status", "--porcelain")
    return {"git_commit": commit, "dirty": bool(status) if status is not None else None}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None

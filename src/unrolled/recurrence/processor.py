"""The processor that this runs on."""

import platform
from pathlib import Path

import torch


def cpu_name() -> str:
    """The processor's model, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_set() -> str:
    """What PyTorch computes with: AVX2, AVX512, or AVX512 with AMX for products in bf16."""
    name = torch.backends.cpu.get_cpu_capability()
    return f"{name} and AMX" if torch.cpu._is_amx_tile_supported() else name

"""How much memory this process may still take."""

from pathlib import Path

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def available_bytes() -> int | None:
    """What the machine has free, or its container; None where the system does not tell."""
    free: list[int] = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                free.append(1024 * int(line.split()[1]))
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        free.append(max(int(most) - int(used.read_text()), 0))
    return min(free, default=None)


def written(count: int) -> str:
    """``1.5 GB``."""
    size, unit = float(count), UNITS[0]
    for larger in UNITS[1:]:
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"

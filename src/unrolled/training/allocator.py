"""Memory that a training step frees stays with the process for the next step.

glibc gives large blocks back to the system as soon as they are freed, and a step that allocates
them again pays for each of their pages with a page fault: a third of a step's time at 10,000
words. Values are the same either way.
"""

import ctypes
import os
import platform

# What glibc calls the settings (malloc.h).
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
# Blocks of this size and more, of which few steps have any, still go back at once.
LARGEST_KEPT = 1 << 30
# By how much the heap grows at a time.
GROWTH = 64 << 20
# By which a person, or a launcher, has decided.
VARIABLES = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, for the rest of the process.

    Returns:
        Whether it does: not where another C library, or another allocator in its place, is in
        use, nor where the environment has decided.
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(setting, value) == 1
        for setting, value in (
            (M_TRIM_THRESHOLD, LARGEST_KEPT),
            (M_MMAP_THRESHOLD, LARGEST_KEPT),
            (M_TOP_PAD, GROWTH),
        )
    )

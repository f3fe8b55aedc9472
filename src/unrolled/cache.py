"""Where things are kept that can be made again."""

import os
from pathlib import Path


def default_cache() -> Path:
    """``$UNROLLED_CACHE``, or ``~/.cache/unrolled``."""
    return Path(os.environ.get("UNROLLED_CACHE") or "~/.cache/unrolled").expanduser()

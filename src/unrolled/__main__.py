"""``python -m unrolled`` is the ``unrolled`` command."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python puts the working folder first, where any file could stand in for a library.
    sys.path.append(sys.path.pop(0))

from unrolled.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

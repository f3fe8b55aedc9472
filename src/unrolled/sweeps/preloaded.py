"""What the server of a sweep's runs imports before it forks; all of it is needed by every run."""

import gc

from unrolled.training.imports import quick_imports

with quick_imports():
    import unrolled.sweeps.worker
    import unrolled.training.fit  # noqa: F401

# No run looks for garbage among these objects, which would copy the memory that they are in.
gc.freeze()

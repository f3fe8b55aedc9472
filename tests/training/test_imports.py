"""What happens, and does not, while torch and Lightning are imported."""

import gc
import subprocess
import sys

import pytest

from unrolled.training.imports import quick_imports


def test_there_are_none_in_the_block_and_some_after_it() -> None:
    with pytest.raises(ImportError), quick_imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_who_had_none_before_has_none_after() -> None:
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_no_run_uses_is_there_for_who_asks_later() -> None:
    code = (
        "import sys\n"
        "from unrolled.training.imports import UNUSED, quick_imports\n"
        "with quick_imports():\n"
        "    import torchmetrics\n"
        "assert not {UNUSED, 'scipy.stats'} & set(sys.modules)\n"
        "import scipy.signal\n"
        "assert scipy.signal.find_peaks([0, 1, 0])[0].tolist() == [1]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

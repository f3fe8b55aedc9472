"""The kernels of kernels.c: built once a machine by its C compiler, and loaded once a process."""

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch

from unrolled.cache import default_cache
from unrolled.cells.base import Cell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh

SOURCE = Path(__file__).with_name("kernels.c")
COMPILERS = ("gcc", "cc", "clang")
# Of every processor with AVX-512, so that machines that share a folder, or compare their figures,
# run the same instructions; and nothing that would drop a NaN.
FLAGS = (
    *("-O3", "-march=x86-64-v4", "-mprefer-vector-width=512", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"),
)
# As kernels.c has them: numbers of rows and of columns, and where the tensors begin.
_FORWARD = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 7
_BACKWARD = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 5 + [ctypes.c_long] + [ctypes.c_void_p] * 4


class Kernel:
    """What lies between a cell's products, in one pass forwards and one backwards.

    Args:
        library: kernels.c, compiled.
        name: how its functions there begin.
        kept: how many times the hidden size forward keeps for backward, besides the states.
        splits: whether the recurrent product and the projected input have different gradients.

    Attributes:
        forward, backward: the functions, with the arguments that kernels.c lists.
    """

    def __init__(
        self, library: ctypes.CDLL, name: str, kept: int = 0, *, splits: bool = False
    ) -> None:
        self.kept, self.splits = kept, splits
        self.forward, self.backward = library[f"{name}_forward"], library[f"{name}_backward"]
        for function, arguments in ((self.forward, _FORWARD), (self.backward, _BACKWARD)):
            function.argtypes, function.restype = arguments, None


def kernel_for(cell: Cell) -> Kernel | None:
    """A cell's kernel on this processor; None where there is none, or no compiler."""
    return _loaded().get(type(cell))


def compiler() -> str | None:
    """The first line that the compiler of this machine's kernels says of itself; None where there
    are no kernels."""
    return _version(*found) if (found := _command()) else None


@functools.cache
def _loaded() -> dict[type[Cell], Kernel]:
    found = _command()
    if found is None:
        return {}
    try:
        library = ctypes.CDLL(str(_built(found)))
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[:1]
        warnings.warn(
            f"compiling the recurrent kernels failed ({found[0]}: {''.join(said)}): bf16 "
            "recurrences run by PyTorch's operations, more slowly; CC names another compiler, and "
            "UNROLLED_CACHE another folder for what it makes",
            stacklevel=2,
        )
        return {}
    # By exact class: a subclass may have another step.
    return {
        LSTM: Kernel(library, "lstm", 4),
        GRU: Kernel(library, "gru", 4, splits=True),
        RnnTanh: Kernel(library, "tanh"),
        RnnRelu: Kernel(library, "relu"),
        IRNN: Kernel(library, "relu"),
    }


def _command() -> list[str] | None:
    """The C compiler; None where there is none, or the processor lacks what the kernels need."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    return [found] if found else None


@functools.cache
def _version(*command: str) -> str | None:
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.partition("\n")[0].strip()


def _built(command: list[str]) -> Path:
    """The library, from the cache or built into it."""
    source = SOURCE.read_bytes()
    key = "\0".join([*command, _version(*command) or "", *FLAGS]).encode() + source
    library = default_cache() / f"kernels-{hashlib.sha256(key).hexdigest()[:16]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            subprocess.run(
                [*command, *FLAGS, str(SOURCE), "-o", str(made)],
                capture_output=True,
                text=True,
                check=True,
            )
            # At once, so that another process finds it whole or not at all.
            made.replace(library)
    return library

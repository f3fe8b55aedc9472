"""The kernels of csrc: built once a machine by its C compiler, and loaded once a process."""

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
from typing import Any

import torch
from torch import Tensor

from unrolled.cache import default_cache
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.recurrence.steps import Steps

SOURCES = Path(__file__).with_name("csrc")
COMPILERS = ("gcc", "cc", "clang")
# How compilers are told of the instructions that PyTorch names so: of every such processor and not
# of the one at hand, so that machines that share a folder, or compare their figures, run the same.
INSTRUCTIONS = {"AVX2": ("-mavx2", "-mfma"), "AVX512": ("-march=x86-64-v4",)}
# Nothing that would drop a NaN, or change the order of a sum.
FLAGS = (
    *("-O3", "-mprefer-vector-width=512", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"),
)
# As csrc/bf16.c has them: numbers of rows and of columns, and where the tensors begin.
_FORWARD = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 7
_BACKWARD = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 5 + [ctypes.c_long] + [ctypes.c_void_p] * 4
# As csrc/fp32.c: the layer, and what runs a function in several threads.
_LAYER = [ctypes.c_void_p] * 2


class Kernel:
    """A cell's passes over time: what lies between two products in bf16, whole layers in fp32.

    Args:
        library: csrc, compiled.
        name: how its functions there begin.
        kept: how many times the hidden size forward keeps for backward, besides the states.
        splits: whether the recurrent product and the projected input have different gradients.

    Attributes:
        forward, backward: the functions of csrc/bf16.c, with the arguments that it lists.
        forward_layer, backward_layer: those of csrc/fp32.c.
        pack, padded: what prepares a matrix for its products.
    """

    def __init__(
        self, library: ctypes.CDLL, name: str, kept: int = 0, *, splits: bool = False
    ) -> None:
        self.kept, self.splits = kept, splits

        def function(named: str, arguments: list[Any], result: Any = None) -> Any:
            one = library[named]
            one.argtypes, one.restype = arguments, result
            return one

        self.forward = function(f"{name}_forward", _FORWARD)
        self.backward = function(f"{name}_backward", _BACKWARD)
        self.forward_layer = function(f"{name}_forward_layer", _LAYER)
        self.backward_layer = function(f"{name}_backward_layer", _LAYER)
        self.pack = function("pack", [ctypes.c_long] * 4 + [ctypes.c_void_p] * 2)
        self.padded = function("padded", [ctypes.c_long], ctypes.c_long)


def applied(
    layer: type[torch.autograd.Function],
    cell: Cell,
    kernel: Kernel,
    z: Tensor,
    steps: Steps,
    state: State,
) -> State:
    """What an autograd function that runs a kernel gives for a cell: the state of all steps."""
    assert isinstance(cell, GatedCell)
    h, *rest = state
    memory = rest[0] if rest else None
    parameters = cell.weight_hh, cell.bias_hh
    differentiated = torch.is_grad_enabled()
    states: State = layer.apply(z, h, memory, *parameters, steps, kernel, differentiated)
    return states


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
        why = str(error)
        if isinstance(error, subprocess.CalledProcessError):
            why = error.stderr.strip().partition("\n")[0] or f"exit status {error.returncode}"
        warnings.warn(
            f"compiling the recurrent kernels failed ({found[0]}: {why}): recurrences run by "
            "PyTorch's operations, more slowly; CC names another compiler, and UNROLLED_CACHE "
            "another folder for what it makes",
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
    """The C compiler; None where there is none, or not one of the processors meant."""
    if torch.backends.cpu.get_cpu_capability() not in INSTRUCTIONS:
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
    sources = sorted(SOURCES.iterdir())
    flags = [*INSTRUCTIONS[torch.backends.cpu.get_cpu_capability()], *FLAGS]
    key = "\0".join([*command, _version(*command) or "", *flags]).encode()
    digest = hashlib.sha256(key + b"\0".join(source.read_bytes() for source in sources))
    library = default_cache() / f"kernels-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            compiled = [str(source) for source in sources if source.suffix == ".c"]
            subprocess.run(
                [*command, *flags, *compiled, "-o", str(made)],
                capture_output=True,
                text=True,
                check=True,
            )
            # At once, so that another process finds it whole or not at all.
            made.replace(library)
    return library

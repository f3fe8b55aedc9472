"""csrc: built once a machine by its C compiler, and loaded once a process."""

import ctypes
import functools
import hashlib
import itertools
import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from unrolled.cache import default_cache

SOURCES = Path(__file__).with_name("csrc")
COMPILERS = ("gcc", "cc", "clang")
# How compilers are told of the instructions that PyTorch names so: of every such processor and not
# of the one at hand, so that machines that share a folder, or compare their figures, run the same.
INSTRUCTIONS = {"AVX2": ("-mavx2", "-mfma"), "AVX512": ("-march=x86-64-v4",)}
# Nothing that would drop a NaN, or change the order of a sum.
FLAGS = (
    *("-O3", "-mprefer-vector-width=512", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-shared", "-fPIC"),
)
# Ways to multiply in bf16, as csrc/bf16.c counts them: by AMX, by AVX-512's pairs, in fp32.
TILES, PAIRS, WIDENED = 2, 1, 0

# OpenMP's own function for a parallel region, of the library that PyTorch has loaded; None where
# that is another one's.
PARALLEL = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)


@functools.cache
def library() -> ctypes.CDLL | None:
    """csrc; None where there is no compiler, or not one of the processors meant."""
    found = _command()
    if found is None:
        return None
    try:
        loaded = ctypes.CDLL(str(_built(found)))
    except (OSError, subprocess.CalledProcessError) as error:
        warnings.warn(
            f"compiling the kernels failed ({found[0]}: {_why(error)}): PyTorch's operations "
            "do their work, more slowly; CC names another compiler, and UNROLLED_CACHE "
            "another folder for what it makes",
            stacklevel=2,
        )
        return None
    # The fastest that the processor has.
    next(way for way in (TILES, PAIRS, WIDENED) if loaded.take_way(way))
    return loaded


@functools.cache
def compiled(code: str) -> ctypes.CDLL:
    """A library of one file of C, which may include what csrc has; built once a machine and
    loaded once a process.

    Raises:
        OSError: it cannot be built, or written; the message says why.
    """
    command = _command()
    if command is None:
        raise OSError("there is no C compiler")
    try:
        return ctypes.CDLL(str(_built(command, code)))
    except subprocess.CalledProcessError as error:
        raise OSError(_why(error)) from error


def has_tiles() -> bool:
    """Whether there are kernels, and their products in bf16 are by AMX."""
    loaded = library()
    return loaded is not None and loaded.way_taken() == TILES


def compiler() -> str | None:
    """The first line that the compiler of this machine's kernels says of itself; None where there
    are no kernels."""
    return _version(*found) if (found := _command()) else None


def is_traced() -> bool:
    """Whether this is within a program that is traced by torch.compile, or changed by torch.func,
    which know PyTorch's operations alone."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def fields(numbers: str, pointers: str, *more: str) -> list[tuple[str, Any]]:
    """What a C structure has, by name: some numbers, some pointers, and so on in turn."""
    kinds = itertools.cycle([ctypes.c_long, ctypes.c_void_p])
    groups = zip((numbers, pointers, *more), kinds, strict=False)
    return [(name, kind) for names, kind in groups for name in names.split()]


def threaded(csrc: ctypes.CDLL, name: str) -> Any:
    """A function of csrc that takes a structure, and what runs a function in several threads."""
    function = getattr(csrc, name)
    function.argtypes, function.restype = [ctypes.c_void_p] * 2, None
    return function


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


def _built(command: list[str], code: str | None = None) -> Path:
    """csrc, or one file of C, as a library: from the cache or built into it."""
    sources = sorted(SOURCES.iterdir())
    flags = [*INSTRUCTIONS[torch.backends.cpu.get_cpu_capability()], *FLAGS]
    key = "\0".join([*command, _version(*command) or "", *flags, code or ""]).encode()
    digest = hashlib.sha256(key + b"\0".join(source.read_bytes() for source in sources))
    kind = "kernels" if code is None else "layer"
    file = default_cache() / f"{kind}-{digest.hexdigest()[:16]}.so"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            written = [source for source in sources if source.suffix == ".c"]
            if code is not None:
                written = [made.with_suffix(".c")]
                written[0].write_text(code)
            subprocess.run(
                [*command, *flags, f"-I{SOURCES}", *map(str, written), "-o", str(made)],
                capture_output=True,
                text=True,
                check=True,
            )
            # At once, so that another process finds it whole or not at all.
            made.replace(file)
    return file


def _why(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return error.stderr.strip().partition("\n")[0] or f"exit status {error.returncode}"
    return str(error)

"""The memory of a pass forwards and backwards, with recomputation and without.

It is the most that PyTorch's allocator has handed out at any one moment, beyond what was there
before: parameters, input and the gradient of the outputs. On a CPU it is the running sum of the
allocations and releases that PyTorch's profiler records; a kernel's own scratch space is not among
them. On a GPU it is the allocator's peak.
"""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from benchmarks.contestants import Make, Setting, entries
from torch.profiler import ProfilerActivity, profile

from unrolled.recurrence.stack import Recurrence

MIB = 2**20
# Read when the profiler first starts; otherwise it writes to standard error at each start.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def peak(work: Callable[[], None], setting: Setting) -> int:
    """Bytes that are allocated at once, at most, beyond what was there before."""
    work()
    gc.collect()
    if setting.device.type == "cuda":
        before = torch.cuda.memory_allocated(setting.device)
        torch.cuda.reset_peak_memory_stats(setting.device)
        work()
        return torch.cuda.max_memory_allocated(setting.device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    recorded: Any = profiler.profiler
    events = [e for e in recorded.kineto_results.events() if e.name() == "[memory]"]
    most = now = 0
    for event in sorted(events, key=lambda event: cast(int, event.start_ns())):
        now += event.nbytes()
        most = max(most, now)
    return most


def memory_rows(
    make: Mapping[str, Make],
    size: int,
    lengths: Sequence[int],
    backends: Sequence[str],
    setting: Setting,
) -> Iterator[dict[str, Any]]:
    """A row of figures for each cell, backend and length."""
    width = setting.wide.itemsize
    for one in entries(make, size, backends, setting):
        for length in lengths:
            found = {}
            for recompute in (False, True):
                cast(Recurrence, one.module).recompute = recompute
                found[recompute] = peak(setting.work(one.module, size, length), setting)
            yield {
                "size": size,
                "length": length,
                "cell": one.cell,
                "backend": one.backend,
                "auto": one.auto,
                "outputs_and_gradient_bytes": 3 * length * setting.batch * size * width,
                "whole_bytes": found[False],
                "recomputed_bytes": found[True],
            }


def print_memory(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table of peaks as they are measured, and return its rows."""
    print(
        "\npeak extra memory in MiB; beside: recomputed less the input's gradient and the outputs,"
    )
    print("which are there twice while the spans are joined")
    print("cell              backend      width  length     whole  recomputed    beside   ratio")
    done = []
    for row in rows:
        whole, less = row["whole_bytes"] / MIB, row["recomputed_bytes"] / MIB
        beside = less - row["outputs_and_gradient_bytes"] / MIB
        print(
            f"{row['cell']:<17} {row['backend'] + '*' * row['auto']:<10} {row['size']:>7} "
            f"{row['length']:>7} {whole:>9.1f} {less:>11.1f} {beside:>9.1f} {less / whole:>7.2f}",
            flush=True,
        )
        done.append(row)
    return done

"""Chunks of text worked on by processes of our own, in order: here the process, and its loop.

A plain child with two pipes, and not ``multiprocessing``, which a sweep's worker may not use and
which runs a person's script once more.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from typing import Any, BinaryIO

from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.errors import DataError

VARIABLE = "UNROLLED_PROCESSES"


def processes_asked_for() -> int:
    """``$UNROLLED_PROCESSES``, or the cores that this process may use.

    Raises:
        DataError: it is no number above zero.
    """
    asked = os.environ.get(VARIABLE)
    if not asked:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) < 1:
        raise DataError(f"{VARIABLE}={asked}: must be a whole number, at least 1")
    return int(asked)


def apply(
    tokenizer: TextTokenizer, method: str, chunks: Iterable[tuple[Any, ...]], processes: int
) -> Generator[Any, None, None]:
    """``tokenizer.method(*chunk)`` of each chunk, in the chunks' order.

    No more chunks are held than there are processes.

    Raises:
        DataError: a process ended before its time.
    """
    if processes == 1:
        for chunk in chunks:
            yield getattr(tokenizer, method)(*chunk)
        return
    with contextlib.ExitStack() as stack:
        workers: list[subprocess.Popen[bytes]] = []
        sent = 0
        for chunk in chunks:
            if len(workers) < processes:
                workers.append(stack.enter_context(_worker(tokenizer, method)))
            elif sent >= processes:
                yield _answer(workers[sent % processes])
            _send(workers[sent % processes], chunk)
            sent += 1
        for place in range(max(0, sent - processes), sent):
            yield _answer(workers[place % processes])


@contextlib.contextmanager
def _worker(tokenizer: TextTokenizer, method: str) -> Iterator["subprocess.Popen[bytes]"]:
    # It must find the modules that are found here, and leave the other cores to the others.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    environment = {**os.environ, "PYTHONPATH": path, "RAYON_NUM_THREADS": "1"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "unrolled.data.chunk_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        _send(worker, (tokenizer, method))
        yield worker
    finally:
        worker.kill()
        # What is still in the pipe has no reader.
        with worker, contextlib.suppress(BrokenPipeError):
            assert worker.stdin is not None
            worker.stdin.close()


def _send(worker: "subprocess.Popen[bytes]", message: object) -> None:
    assert worker.stdin is not None
    try:
        pickle.dump(message, worker.stdin, pickle.HIGHEST_PROTOCOL)
        worker.stdin.flush()
    except BrokenPipeError as error:
        raise _ended(worker) from error


def _answer(worker: "subprocess.Popen[bytes]") -> Any:
    assert worker.stdout is not None
    try:
        return pickle.load(worker.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        raise _ended(worker) from error


def _ended(worker: "subprocess.Popen[bytes]") -> DataError:
    code = worker.wait()
    return DataError(
        f"a process that tokenizes ended with code {code}; where memory is short, ask for fewer "
        f"with {VARIABLE}=1"
    )


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    tokenizer, method = pickle.load(requests)
    while True:
        try:
            chunk = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(getattr(tokenizer, method)(*chunk), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    # The process that asked hears Ctrl-C, and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as channel:
        # Whatever else writes must not write among the answers.
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, channel)

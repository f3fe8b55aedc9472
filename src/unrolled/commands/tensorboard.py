"""``unrolled tensorboard``: what runs and comparisons left for TensorBoard, in a browser."""

import argparse
import socket
import threading
from pathlib import Path
from typing import Any

from unrolled.errors import ConfigError, RunError
from unrolled.runs.text import printable

HOST = "127.0.0.1"
PORT = 6006


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "tensorboard", allow_abbrev=False, help=summary
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="a study, a run, or what is above them; default: outputs",
    )
    parser.add_argument(
        "--port", type=int, help=f"to listen on; default: {PORT}, or any that is free"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Serve the folder to this machine alone, until Ctrl-C."""
    require_events(options.folder)
    port = choose_port(options.port)
    from tensorboard.program import TensorBoard, TensorBoardServerException

    server = TensorBoard()
    server.configure(logdir=str(options.folder), host=HOST, port=port)
    try:
        address = server.launch()
    except TensorBoardServerException as error:
        raise RunError(f"port {port}: TensorBoard cannot listen there ({error})") from error
    print(f"{printable(str(options.folder))} is shown at {address} (Ctrl-C ends it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    return 0


def require_events(folder: Path) -> None:
    """Refuse a folder in which TensorBoard would find nothing.

    Raises:
        RunError: it is missing, or holds no event file.
    """
    if not folder.is_dir():
        what = "a file; name the folder of a study" if folder.exists() else "no such folder"
        raise RunError(f"{folder}: {what}, such as outputs/default")
    if next(folder.rglob("*tfevents*"), None) is None:
        raise RunError(
            f"{folder}: nothing for TensorBoard in it; runs write event files with logger=both "
            "(the default) or logger=tensorboard, and `unrolled compare` writes its own"
        )


def choose_port(asked: int | None) -> int:
    """The port that was asked for, or TensorBoard's own, or any where that one is taken.

    Raises:
        ConfigError: the port that was asked for is taken, or is none.
    """
    if asked is not None:
        if not 0 <= asked < 1 << 16:
            raise ConfigError(f"--port {asked}: must be between 0 and 65535; 0 takes a free one")
        if (found := _bound(asked)) is None:
            raise ConfigError(f"--port {asked}: not to be had; leave it out for a free one")
        return found
    port = _bound(PORT) or _bound(0)
    if port is None:
        raise RunError(f"{HOST}: no port is free")
    return port


def _bound(port: int) -> int | None:
    """The port, if it can be listened on; of 0, one that the system chooses."""
    with socket.socket() as listener:
        # As the server does, so that a port is free again as soon as its server has ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return None
        return int(listener.getsockname()[1])

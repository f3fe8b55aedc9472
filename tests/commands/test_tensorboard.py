import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli import main
from unrolled.commands import tensorboard
from unrolled.commands.tensorboard import HOST, choose_port, require_events
from unrolled.errors import ConfigError


@pytest.fixture
def taken() -> Callable[[], int]:
    """A port that somebody else listens on."""
    listener = socket.socket()
    listener.bind((HOST, 0))
    listener.listen()
    return lambda: int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("folder", "said"),
    [("nowhere", "no such folder"), ("a.txt", "a file"), ("empty", "nothing for TensorBoard")],
)
def test_where_there_is_nothing_to_show(
    folder: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    assert main(["tensorboard", folder]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"unrolled: {folder}: {said}")


def test_events_may_be_anywhere_below(tmp_path: Path) -> None:
    run = tmp_path / "study/run"
    run.mkdir(parents=True)
    (run / "events.out.tfevents.1.host.2.0").touch()
    require_events(tmp_path)
    require_events(run)


def test_a_port_that_is_taken(taken: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=f"--port {taken()}: not to be had"):
        choose_port(taken())
    monkeypatch.setattr(tensorboard, "PORT", taken())
    assert choose_port(None) not in (0, taken())


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match=f"--port {port}: must be between"):
        choose_port(port)


@pytest.mark.slow
def test_it_serves_the_runs_of_a_study_until_it_is_stopped(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path / "study/lstm-seed1"))
    value = Summary.Value(tag="validation/loss", simple_value=1.0)
    writer.add_event(Event(step=1, summary=Summary(value=[value])))
    writer.close()
    command = [sys.executable, "-m", "unrolled", "tensorboard", "study", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            assert said.startswith(f"study is shown at http://{HOST}:")
            address = said.split()[4]
            found: list[str] = []
            while not found and server.poll() is None:
                with urllib.request.urlopen(f"{address}data/runs") as answer:
                    found = json.load(answer)
            assert found == ["lstm-seed1"]
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=60) == 0
        finally:
            server.kill()

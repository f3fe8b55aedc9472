"""Logs cut back to where a checkpoint has them."""

from pathlib import Path

from unrolled.training import logs

# What a task's callbacks add to.
APPENDED = ["samples.txt"]


def test_rows_and_bytes_written_later_are_removed(tmp_path: Path) -> None:
    metrics, samples = tmp_path / "metrics.csv", tmp_path / "samples.txt"
    assert logs.sizes(tmp_path, APPENDED) == {"metrics.csv": 0, "samples.txt": 0}
    metrics.write_text("loss,step\n1.5,1\n")
    samples.write_text("one\n")
    before = logs.sizes(tmp_path, APPENDED)
    # A new column makes the header longer; the last line is half written.
    metrics.write_text("accuracy,loss,step\n,1.5,1\n0.5,,2\n0.")
    samples.write_text("one\ntw")
    logs.cut(tmp_path, before)
    assert metrics.read_text().split() == ["loss,step", "1.5,1"]
    assert samples.read_text() == "one\n"


def test_without_rows_there_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("loss,step\n1.5,1\n")
    logs.cut(tmp_path, {"metrics.csv": 0, "samples.txt": 0})
    assert not (tmp_path / "metrics.csv").exists()


def test_nothing_of_an_attempt_is_left(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("metrics.csv", "samples.txt", "events.out.tfevents.1", "record.json"):
        (tmp_path / name).touch()
    logs.clear(tmp_path, APPENDED)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]

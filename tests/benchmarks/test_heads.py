import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--vocabularies", "700", "--hidden", "8", "--rows", "20"]
HEADS = ["nn.Linear", "linear", "adaptive", "torch adaptive", "sampled"]


def test_every_head_is_measured_against_the_peer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.heads import main

    main([*SMALL, "--out", str(tmp_path)])
    main([*SMALL, "--evaluation", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "heads.json").read_text())["heads"]
    assert [row["head"] for row in rows] == HEADS
    assert rows[0]["time_ratio"] == rows[0]["memory_ratio"] == 1
    memory = {row["head"]: row["memory_ratio"] for row in rows}
    # One more output for each further cluster, and no tensor of all scores.
    assert memory["adaptive"] < memory["linear"]
    evaluated = json.loads((tmp_path / "heads_evaluation.json").read_text())["heads"]
    assert [row["head"] for row in evaluated] == [head for head in HEADS if head[0] != "t"]

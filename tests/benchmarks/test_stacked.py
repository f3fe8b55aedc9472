import json
from pathlib import Path

import pytest
import torch

SMALL = ["--cells", "gru,mgu", "--sizes", "3", "--models", "2", "--length", "2", "--batch", "2"]


def test_a_stack_has_the_outputs_of_its_models() -> None:
    from benchmarks.contestants import makers
    from benchmarks.stacked import Loop
    from torch.func import functional_call, stack_module_state, vmap

    loops = [Loop(makers(["gru"])["gru"](3, 3)) for _ in range(2)]
    x = torch.randn(2, 4, 5, 3)
    weights, _ = stack_module_state(loops)
    together = vmap(lambda w, x: functional_call(loops[0], w, (x,)))(weights, x)
    for loop, own, found in zip(loops, x, together, strict=True):
        torch.testing.assert_close(found, loop(own))


def test_the_command_writes_a_gain_for_each_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.stacked import main

    main([*SMALL, "--repeats", "1", "--output", str(tmp_path / "stacked.json")])
    rows = json.loads((tmp_path / "stacked.json").read_text())["rows"]
    assert [row["cell"] for row in rows] == ["gru", "mgu"]
    assert rows[0]["backend"] in ("native", "analytic")  # as there is a C compiler
    assert rows[1]["backend"] == "generated"
    assert all(row["gain"] > 0 for row in rows)
    assert "wrote" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*SMALL, "--models", "1"])

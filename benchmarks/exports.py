"""Every cell as a torch.export program and as an ONNX file, and how far each is from the engine.

Run as ``python -m benchmarks.exports``: a table in Markdown, a row a cell. A model of two layers
in evaluation reads text by characters in two calls, with the state carried; several times and
batches of one program.
"""

import tempfile
from pathlib import Path

import torch

from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.data.batches import Batch
from unrolled.errors import ExportError
from unrolled.export import program
from unrolled.export.onnx import runtime_scores, write_onnx
from unrolled.models.build import Parts, build_model
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.recurrence.traced import Trace

TOKENS, SIZE = 50, 32
SHAPES = [(20, 3), (2, 1), (61, 8)]


def main() -> None:
    """Print the table."""
    cells = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
    print("| cell | torch.export | ONNX |", "| --- | ---: | ---: |", sep="\n")
    for cell in cells:
        if cell != "custom":
            print("|", " | ".join([f"`{cell}`", *differences(cell)]), "|", flush=True)


def differences(cell: str) -> list[str]:
    """Of the program and of the ONNX file, the largest difference from the engine, in words."""
    torch.manual_seed(1)
    config = compose_run(
        [f"cell={cell}", "model.layers=2", f"model.hidden_size={SIZE}", "model.dropout=0"]
    )
    parts = Parts(SIZE, lambda: Embedding(TOKENS, SIZE), lambda size, _: LinearHead(size, TOKENS))
    model = build_model(config, parts)
    samples = [
        program.sample(model, [_batch(time, batch)], carries_state=True) for time, batch in SHAPES
    ]
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for trace, path in (
            (program.trace_of(model), Path(folder) / "model.pt2"),
            (Trace(real=True), Path(folder) / "model.onnx"),
        ):
            traced = program.traced_model(model, trace, carries_state=True)
            try:
                if path.suffix == ".onnx":
                    write_onnx(traced, samples[0].calls[0], path)
                    scores = runtime_scores(path)
                else:
                    program.save(program.export(traced, samples[0].calls[0]), path)
                    scores = program.scores_of(path)
            except ExportError as error:
                said.append(str(error))
                continue
            off = max(sample.difference(scores) for sample in samples)
            said.append("0" if off == 0 else f"{off:.1e}")
    return said


def _batch(time: int, batch: int) -> Batch:
    ids = torch.randint(TOKENS, (time, batch))
    return Batch(ids, ids, None, ids.numel(), ids.numel())


if __name__ == "__main__":
    main()

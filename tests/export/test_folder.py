"""An exported run, read where Unrolled is not, and exports that are refused."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
import yaml
from omegaconf import DictConfig
from safetensors.torch import load_file
from tokenizers import Tokenizer, normalizers

from unrolled.commands.export import export
from unrolled.config.compose import compose_run
from unrolled.data.standalone import standalone
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.errors import ConfigError, ExportError, RunError
from unrolled.export import folder as folder_module
from unrolled.export import packages
from unrolled.runs.record import read_record
from unrolled.training.load import load_run
from unrolled.training.run import run

READER = Path(__file__).with_name("standalone_reader.py")
TEXT = "the cat sat on a mat.\nand a dog"
Command = Callable[..., CompletedProcess[str]]


def read_elsewhere(folder: Path) -> dict[str, object]:
    ended = subprocess.run(
        [sys.executable, str(READER), str(folder), TEXT], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert isinstance(result, dict)
    return result


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("exported") / "model", onnx=True).folder  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def native(
    tmp_path_factory: pytest.TempPathFactory, configure_in: Callable[..., DictConfig]
) -> Path:
    """A run by PyTorch's kernel, which a program has, too; its export is beside it."""
    folder = tmp_path_factory.mktemp("native")
    made = run(configure_in(folder, "trainer.max_steps=20", "cell.backend=native")).folder
    assert made is not None
    export(made, made / "exported")
    return made


@pytest.mark.slow
def test_without_unrolled_the_scores_are_the_same_to_the_last_digit(
    native: Path, exported: Path, trained: Path
) -> None:
    found = read_elsewhere(native / "exported")
    assert found["calls"] == 2
    assert found["difference"] == 0
    assert "same to the last digit" in (native / "exported" / "README.md").read_text("utf-8")
    # By auto, which may run compiled code that a program does not have, to rounding.
    found = read_elsewhere(exported)
    assert isinstance(found["difference"], float | int)
    assert found["difference"] <= 1e-6
    tokenizer = load_tokenizer((trained / "tokenizer.json").read_text(encoding="utf-8"))
    assert found["ids"] == tokenizer.encode(TEXT).tolist()


def test_the_compared_scores_are_those_of_the_run_s_own_model(
    exported: Path, trained: Path
) -> None:
    check = load_file(exported / "check.safetensors")
    model = load_run(trained).best_model().eval()
    with torch.inference_mode():
        hidden, states = model(check["0.inputs"])
        assert torch.equal(model.head.scores(hidden), check["0.scores"])
        hidden, _ = model(check["1.inputs"], states)
        assert torch.equal(model.head.scores(hidden), check["1.scores"])


def test_onnx_runtime_gives_the_scores_within_rounding(exported: Path) -> None:
    import onnxruntime

    check = load_file(exported / "check.safetensors")
    config = json.loads((exported / "config.json").read_text())
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    for call in range(2):
        given = {name: check[f"{call}.{name}"].numpy() for name in ["inputs", *config["states"]]}
        scores = torch.from_numpy(session.run(["scores"], given)[0])
        torch.testing.assert_close(scores, check[f"{call}.scores"], rtol=0, atol=1e-5)


def test_no_file_holds_a_pickle(exported: Path) -> None:
    archive = zipfile.ZipFile(exported / "model.pt2")
    contents = [archive.read(name) for name in archive.namelist()]
    contents += [path.read_bytes() for path in exported.iterdir() if path.suffix != ".pt2"]
    # What torch.save writes is an archive of its own; a pickle's protocol stands first.
    assert not [one for one in contents if one.startswith((b"PK", b"\x80"))]


def test_the_card_has_the_record_s_figures_and_no_place_of_this_machine(
    exported: Path, trained: Path, tmp_path: Path
) -> None:
    record = read_record(trained)
    text = (exported / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    figures = front["model-index"][0]["results"][0]["metrics"]
    assert {one["name"]: one["value"] for one in figures} == {
        name: value for name, value in record.metrics.items() if name.startswith("test/")
    }
    assert front["license"] == "unknown"
    assert record.data["fingerprint"] in text
    assert "from the run's own model on a CPU: " in text
    assert "The licence of the data is not in the run's record" in text
    for path in exported.iterdir():
        assert str(trained.parents[2]).encode() not in path.read_bytes(), path.name


def test_the_code_in_the_card_runs(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    text = (exported / "README.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0].replace("…", "the cat")
    result: dict[str, torch.Tensor] = {}
    exec(code, result)
    assert result["scores"].shape[:2] == (len("the cat") + 1, 1)


def test_the_code_of_the_page_export_md_runs(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-model").symlink_to(exported)
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "export.md"
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["names"]
    assert names["check"]


@pytest.mark.slow
def test_classes_of_texts_of_unequal_length_read_in_both_directions(
    tmp_path: Path, command: Command
) -> None:
    lines = [f"{'bad' if i % 2 else 'good'}\t{'so ' * (i % 5)}{'poor' if i % 2 else 'fine'}" for i in range(60)]  # fmt: skip  # noqa: E501
    Path("texts.tsv").write_text("label\ttext\n" + "\n".join(lines) + "\n", encoding="utf-8")
    folder = run(
        compose_run(
            [
                *("task=classification", "dataset=table", "dataset.path=texts.tsv"),
                *("dataset.text=text", "dataset.label=label", "tokenizer=word_lower"),
                *("task.bidirectional=true", "task.pooling=attention", "task.padding=left"),
                *("model.hidden_size=8", "model.embedding_size=4", "cell=mgu"),
                *("trainer.max_steps=4", "trainer.validate_every_steps=4"),
            ]
        )
    ).folder
    said = command("export", str(folder), "--license", "cc0-1.0").stdout
    assert "model.pt2: " in said
    target = Path(str(folder)) / "export"
    config = json.loads((target / "config.json").read_text())
    assert config["scores"]["labels"] == ["bad", "good"]
    assert config["call"] == ["inputs", "lengths"]
    lengths = load_file(target / "check.safetensors")["0.lengths"]
    assert len(lengths.unique()) > 1
    assert "published under `cc0-1.0`" in (target / "README.md").read_text()
    # An earlier export is replaced.
    command("export", str(folder), "--weights-only")
    assert not (target / "model.pt2").exists()
    assert (target / "model.safetensors").exists()


DECIDES = """
from unrolled.cells.rnn_tanh import RnnTanh


class Decides(RnnTanh):
    has_native = False

    def step(self, z, state):
        (h,) = super().step(z, state)
        if h.abs().max() > 1:
            raise ValueError("the state left its range")
        return (h,)
"""


@pytest.mark.slow
def test_a_cell_that_decides_on_values_is_refused_by_its_line(
    overrides: Callable[..., list[str]],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    Path("my_cells.py").write_text(DECIDES, encoding="utf-8")
    own = ["cell._target_=my_cells.Decides", "trainer.max_steps=2", "task.sample.length=0"]
    folder = str(run(compose_run(overrides(*own))).folder)
    said = command("export", folder, "--trust", "my_cells", code=2).stderr
    assert "Decides cannot be written as a torch.export program: my_cells.py, line 10" in said
    assert "--weights-only" in said
    assert not (Path(folder) / "export").exists()
    command("export", folder, "--trust", "my_cells", "--weights-only")


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(trained, tmp_path / "copy"))


def test_what_is_refused_before_anything_is_written(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="--onnx and --weights-only"):
        export(copy, onnx=True, weights_only=True)
    with pytest.raises(ConfigError, match="an export does not change it; it can change dataset"):
        export(copy, None, "trainer.threads=1")
    with pytest.raises(RunError, match="there is something else; name another folder with --to"):
        export(copy, copy / "checkpoints", weights_only=True)
    with monkeypatch.context() as patched:
        patched.setattr(packages, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"pip install 'unrolled\[export\]'"):
            export(copy)

    def other(tokenizer: TextTokenizer, *, whole: bool) -> Tokenizer:
        library = standalone(tokenizer, whole=whole)
        library.normalizer = normalizers.Replace("a", "e")
        return library

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "standalone", other)
        with pytest.raises(ExportError, match=r"tokenizer=char cannot be written .* token"):
            export(copy)
    assert not (copy / "export").exists()
    record = json.loads((copy / "record.json").read_text())
    record["status"] = "failed"
    (copy / "record.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="an export needs its results"):
        export(copy)


def test_a_program_that_computes_something_else_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.recurrence import traced

    whole = traced.Trace.layers

    def wrong(self: traced.Trace, *args: object) -> object:
        x, states = whole(self, *args)  # type: ignore[arg-type]
        return x * 1.001, states

    monkeypatch.setattr(traced.Trace, "layers", wrong)
    with pytest.raises(ExportError, match="differs from the run's own model by"):
        export(trained, tmp_path / "model")
    assert not list(tmp_path.glob("*model*"))

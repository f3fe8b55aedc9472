"""The folder of an exported run: made beside its place, checked, and only then put there."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

import unrolled
from unrolled.config.build import OURS
from unrolled.data.corpus import Corpus
from unrolled.data.labeled import LabeledSequences
from unrolled.data.standalone import first_difference, standalone
from unrolled.errors import ExportError, RunError, full_disk_said
from unrolled.export.card import Checks, card, public_config
from unrolled.runs.files import atomic_path, temporary_path, write_json
from unrolled.tasks.build import sources
from unrolled.tasks.interface import Interface
from unrolled.tasks.task import Data, Sources
from unrolled.training.load import StoredRun

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.export.program import Sample
    from unrolled.models.traced import TracedModel

FORMAT = "unrolled-export"
WEIGHTS, PROGRAM, ONNX = "model.safetensors", "model.pt2", "model.onnx"
STATES, CHECK = "initial_states.safetensors", "check.safetensors"
# Batches of the validation split that the program is compared on.
COMPARED = 3


@dataclass(frozen=True)
class Options:
    """What to write.

    Attributes:
        onnx: an ONNX file, too.
        weights_only: no program: weights, tokenizer, card.
        license: of the weights, as their publisher names it; None: the card says that none is
            given.
        trusted: prefixes of modules outside this package that the configuration may name.
    """

    onnx: bool = False
    weights_only: bool = False
    license: str | None = None
    trusted: tuple[str, ...] = OURS


@dataclass
class Exported:
    """What was written: the folder, and how far its programs are from the run's own model."""

    folder: Path
    checks: Checks = field(default_factory=Checks)


def export_run(
    run: StoredRun, target: Path, config: DictConfig, options: Options = Options()
) -> Exported:
    """Write the best checkpoint of a run as a folder that needs no Unrolled.

    Args:
        target: the folder; an earlier export there is replaced.
        config: the run's own, with another place of its data where it has moved.

    Raises:
        ExportError: the model or its tokenizer cannot be written in a format, or computes
            something else in it; nothing is written then.
        RunError: the run is not finished, or the folder holds something else.
        DataError: the run's data, on which the formats are checked, cannot be read.
    """
    if run.record.status != "finished":
        raise RunError(f"{run.folder}: the run is {run.record.state}; an export needs its results")
    _require_free(target)
    where = sources(config, config.paths.cache, options.trusted)
    data = run.task.prepare(where, run.fitted)
    interface = run.task.interface(run.fitted)
    made = temporary_path(target)
    shutil.rmtree(made, ignore_errors=True)
    try:
        with full_disk_said(target.parent):
            made.mkdir(parents=True)
            checks = Checks(same_data=data.fingerprint == run.record.data.get("fingerprint"))
            _write_tokenizer(made, interface, where, checks)
            model = _write_model(made, run, data, options, checks)
            write_json(made / "config.json", _description(run, interface, model, checks))
            text = card(run.record, checks, interface.inputs, interface.scores, options.license)
            (made / "README.md").write_text(text, encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Exported(target, checks)


def _require_free(target: Path) -> None:
    """Refuse to replace what is no earlier export.

    Raises:
        RunError: the folder has other files, or is a file.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        known = json.loads((target / "config.json").read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known != FORMAT:
        raise RunError(f"{target}: there is something else; name another folder with --to")


def _write_tokenizer(made: Path, interface: Interface, where: Sources, checks: Checks) -> None:
    """Write the tokenizer, which gives the same ids for the validation text.

    Raises:
        ExportError: it does not; the message says where.
    """
    tokenizer, whole = interface.tokenizer, interface.whole_texts
    if tokenizer is None:
        return
    library = standalone(tokenizer, whole=whole)
    for text in _texts(where):
        if found := first_difference(tokenizer, library, text, whole=whole):
            raise ExportError(
                f"tokenizer={tokenizer.kind} cannot be written as a file of the tokenizers "
                f"library: {found}; train with a tokenizer without what differs there, such as "
                "tokenizer.strip_html=false on text that is stripped already"
            )
        checks.characters += len(text)
    with atomic_path(made / "tokenizer.json") as path:
        path.write_text(library.to_str(pretty=False), encoding="utf-8")
    checks.files["tokenizer.json"] = "the tokenizer, for the `tokenizers` library"


def _texts(where: Sources) -> Iterable[str]:
    """The validation split's text or texts, raw."""
    loaded = where.load()
    if isinstance(loaded, Corpus):
        # Of one too large for memory, its first block.
        yield next(loaded.blocks("validation"))
    elif isinstance(loaded, LabeledSequences) and loaded.has_texts:
        places = loaded.places(where.fold)["validation"]
        yield from loaded.take(places)[0]


def _write_model(
    made: Path, run: StoredRun, data: Data, options: Options, checks: Checks
) -> "TracedModel":
    """Write weights, program and ONNX file, and compare each with the run's own model."""
    from safetensors.torch import save

    from unrolled.export import program
    from unrolled.recurrence.traced import Trace

    carries = run.task.carries_state
    own = run.best_model()
    model = program.traced_model(own, program.trace_of(own), carries_state=carries)
    # Tied weights under both of their names: the format has no sharing.
    weights = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    (made / WEIGHTS).write_bytes(save(weights, {"format": "pt"}))
    checks.files[WEIGHTS] = "the weights of the best checkpoint, fp32"
    if options.weights_only:
        return model
    batches = run.task.batches(data, seed=0).evaluation_dataloader("validation")
    sample = program.sample(own, [*islice(batches, COMPARED)], carries_state=carries)
    first = sample.calls[0]

    program.save(program.export(model, first), made / PROGRAM)
    checks.program = sample.difference(program.scores_of(made / PROGRAM))
    program.require_same(own, sample, checks.program, "the torch.export program")
    checks.files[PROGRAM] = "the `torch.export` program, with the same weights"
    if options.onnx:
        from unrolled.export.onnx import runtime_scores, write_onnx

        real = program.traced_model(own, Trace(real=True), carries_state=carries)
        write_onnx(real, first, made / ONNX)
        checks.onnx = sample.difference(runtime_scores(made / ONNX))
        program.require_same(own, sample, checks.onnx, "the ONNX file")
        checks.files[ONNX] = "the same as ONNX, for ONNX Runtime and others"
    if carries:
        states = [part for state in model.initial_states(1) for part in state]
        named = dict(zip(model.state_names(), states, strict=True))
        (made / STATES).write_bytes(save({n: p.contiguous() for n, p in named.items()}))
        checks.files[STATES] = "the state that a text begins with, `[1, size]` each"
    tensors = _tensors(sample, model.state_names() if carries else [])
    (made / CHECK).write_bytes(save(tensors))
    checks.files[CHECK] = "validation inputs with the run's own scores, to compare with"
    return model


def _tensors(sample: "Sample", states: list[str]) -> "dict[str, Tensor]":
    """A sample as named tensors: ``0.inputs``, ``0.scores`` and so on."""
    named: dict[str, Tensor] = {}
    for place, (call, expected) in enumerate(zip(sample.calls, sample.expected, strict=True)):
        inputs, rest = call
        given = dict(zip(states, rest, strict=True)) if states else {"lengths": rest}
        scores, *after = expected
        new = {f"new_{name}": part for name, part in zip(states, after, strict=True)}
        for name, tensor in {"inputs": inputs, **given, "scores": scores, **new}.items():
            named[f"{place}.{name}"] = tensor.clone().contiguous()
    return named


def _description(
    run: StoredRun, interface: Interface, model: "TracedModel", checks: Checks
) -> dict[str, Any]:
    import torch

    record = run.record
    carries = run.task.carries_state
    return {
        "format": FORMAT,
        "format_version": 1,
        "unrolled": unrolled.__version__,
        "torch": torch.__version__,
        "run": record.name,
        "identity": record.identity,
        "task": record.description.name,
        "inputs": dict(interface.inputs),
        "scores": dict(interface.scores),
        "call": ["inputs", "states"] if carries else ["inputs", "lengths"],
        "states": model.state_names() if carries else [],
        "readout": model.readout,
        "files": checks.files,
        "differences": {"program": checks.program, "onnx": checks.onnx},
        "configuration": public_config(record),
    }

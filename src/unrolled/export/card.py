"""The model card of an exported run, from its record: README.md with YAML front matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from unrolled.runs.record import Record, look_up
from unrolled.runs.text import one_line

# What is known of the licences of data that comes with the package; by what loads it.
LICENCES = {
    "unrolled.data.sotu.": "The State of the Union messages are in the public domain.",
    "unrolled.data.sentence.": "A sentence of the configuration.",
    "unrolled.data.random_sequences.": "Random numbers, drawn from a seed.",
    "unrolled.data.statsmodels_series.": "The series is in the public domain, as statsmodels, "
    "which ships it, says.",
    "unrolled.data.images.load_digits": "The digits are of the UCI repository (Alpaydin & Kaynak "
    "1998), which has them under CC BY 4.0.",
}
GENERATED = "The task generates its data from a seed."
UNKNOWN = (
    "The licence of the data is not in the run's record. Whether weights that were trained on it "
    "may be passed on is for whoever publishes them to find out."
)
# Where things were on the machine that trained.
PRIVATE = ("paths", "trial", "workers", "name_by")


@dataclass
class Checks:
    """What was compared with the run's own model before the folder was written.

    Attributes:
        program, onnx: the largest difference of a score or a state; None: not written.
        characters: of the validation text whose ids the tokenizer's file gives.
        same_data: whether the data is that of the record.
        files: what each file is.
    """

    program: float | None = None
    onnx: float | None = None
    characters: int = 0
    same_data: bool = True
    files: dict[str, str] = field(default_factory=dict)


def card(
    record: Record,
    checks: Checks,
    inputs: Mapping[str, Any],
    scores: Mapping[str, Any],
    license_id: str | None = None,
) -> str:
    """The card's text.

    Args:
        inputs, scores: of the task's interface.
        license_id: of the weights, such as ``mit``; None: none is given.
    """
    head = yaml.safe_dump(_front(record, license_id), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{head}---",
        f"# {one_line(record.name)}",
        _summary(record),
        "## Results\n\n" + _results(record),
        "## How to load it\n\n" + _usage(checks, inputs, scores),
        "## Data\n\n" + _data(record),
        "## Licences\n\n" + _licences(record, license_id),
        "## Files\n\n" + _files(checks),
        "## Configuration\n\n```yaml\n"
        + yaml.safe_dump(public_config(record), sort_keys=False, allow_unicode=True)
        + "```",
    ]
    return "\n\n".join(parts) + "\n"


def public_config(record: Record) -> dict[str, Any]:
    """The run's configuration without places of the machine that trained."""
    config = {key: value for key, value in record.config.items() if key not in PRIVATE}
    dataset = config.get("dataset")
    if isinstance(dataset, dict):
        config["dataset"] = {
            key: Path(value).name if isinstance(value, str) and "/" in value else value
            for key, value in dataset.items()
        }
    return config


def _front(record: Record, license_id: str | None) -> dict[str, Any]:
    task = record.description
    figures = [
        {"type": name.partition("/")[2], "name": name, "value": value}
        for name, value in record.metrics.items()
        if name.startswith("test/")
    ]
    data = {"name": record.data.get("name"), "type": record.data.get("name")}
    result = {"task": {"type": task.name}, "dataset": data, "metrics": figures}
    return {
        "library_name": "pytorch",
        "license": license_id or "unknown",
        "tags": ["unrolled", "recurrent", str(look_up(record, "config.cell.name")), task.name],
        "model-index": [{"name": record.name, "results": [result]}],
    }


def _summary(record: Record) -> str:
    task, model, environment = record.description, record.model, record.environment
    cell = look_up(record, "config.cell.name")
    precision = model.get("precision") or look_up(record, "config.trainer.precision")
    layers = model.get("layers", 1)
    last = model.get("last_layer_size")
    widths = f"{model['hidden_size']:,}" + (f", the last of {last:,}" if last else "")
    step, steps = record.best.get("step", 0), record.timing.get("total_steps", 0)
    return (
        f"A recurrent network of the cell `{cell}` for the task `{task.name}`: "
        f"{model['parameters']:,} parameters, {layers} layer{'s' * (layers != 1)} of "
        f"{widths}. The weights are those of the best checkpoint by "
        f"`{task.monitor}`, after {step:,} of {steps:,} steps, with seed {record.seed} and "
        f"precision {precision}. Trained by Unrolled {environment.get('unrolled')} with PyTorch "
        f"{environment.get('torch')} on {environment.get('gpu') or environment.get('cpu')}."
    )


def _results(record: Record) -> str:
    """A row a metric; the baselines that have one beside it."""
    task = record.description
    splits = [s for s in ("validation", "test") if any(m.startswith(s) for m in record.metrics)]
    baselines = [*task.baselines]
    header = ["metric", *splits, *(f"{label} (test)" for label in baselines)]
    rows = [header, ["---"] * len(header)]
    for name, metric in task.metrics.items():
        if not any(f"{split}/{name}" in record.metrics for split in splits):
            continue
        unit = f" ({metric.unit})" if metric.unit else ""
        known = [record.metrics.get(f"{split}/{name}") for split in splits]
        known += [task.baselines[label].get(f"test/{name}") for label in baselines]
        best = "lower" if metric.lower_is_better else "higher"
        label = f"{name.replace('_', ' ')}{unit}, {best} is better"
        rows.append([label, *(metric.written(value) for value in known)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    cautions = [f"- {name}: {text}" for name, text in task.cautions.items()]
    return "\n\n".join([table, *(["\n".join(cautions)] if cautions else [])])


def _usage(checks: Checks, inputs: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    what = "\n".join([f"- a step of the input: {_said(inputs)}", f"- a score: {_said(scores)}"])
    if "model.pt2" not in checks.files:
        return (
            f"{what}\n\nThere is no program here: the weights alone, by the names that Unrolled's "
            "model has for them."
        )
    text = "tokenizer.json" in checks.files
    carries = "initial_states.safetensors" in checks.files
    begin = 'ids = [config["inputs"]["first"], *ids]  # what begins a text\n' if carries else ""
    encode = (
        'ids = Tokenizer.from_file("tokenizer.json").encode("…").ids\n'
        f"{begin}"
        "inputs = torch.tensor(ids)[:, None]"
        if text
        else "inputs = …  # [time, batch] of ids, or [time, batch, features] of numbers"
    )
    if carries:
        call = (
            'first = load_file("initial_states.safetensors")\n'
            'states = [first[name].repeat(inputs.shape[1], 1) for name in config["states"]]\n'
            "with torch.inference_mode():\n"
            "    scores, states = model(inputs, states)  # [time, batch, outputs]; and go on"
        )
    else:
        call = (
            "lengths = torch.full((inputs.shape[1],), len(inputs))  # steps of each sequence; "
            "shorter ones are padded at their end\n"
            "with torch.inference_mode():\n"
            "    scores = model(inputs, lengths)"
        )
    differences = [_difference("the program", checks.program, "on a CPU")]
    if checks.onnx is not None:
        differences.append(_difference("the ONNX file in ONNX Runtime", checks.onnx, ""))
    imports = "from tokenizers import Tokenizer\n" if text else ""
    code = (
        "```python\nimport json\n\nimport torch\nfrom safetensors.torch import load_file\n"
        f"{imports}\n"
        'config = json.load(open("config.json"))\n'
        'model = torch.export.load("model.pt2").module()\n'
        'model.load_state_dict(load_file("model.safetensors"))  # has them already; for others\n'
        f"{encode}\n{call}\n```"
    )
    return (
        f"With PyTorch and safetensors{' and tokenizers' * text} alone; nothing in the files is "
        f"executed on loading.\n\n{code}\n\n{what}\n\n" + "\n".join(differences)
    )


def _difference(what: str, value: float | None, where: str) -> str:
    assert value is not None
    how = "none: the scores are the same to the last digit" if value == 0 else f"{value:.2g}"
    place = f" {where}" if where else ""
    return f"- largest difference of {what} from the run's own model{place}: {how}"


def _said(about: Mapping[str, Any]) -> str:
    """What an interface says, without its long lists."""
    short = []
    for key, value in about.items():
        if value is None or (isinstance(value, list) and len(value) > 20):
            continue
        short.append(str(value) if key == "kind" else f"{key.replace('_', ' ')} {value}")
    return one_line(", ".join(short)) or "see config.json"


def _data(record: Record) -> str:
    lines = [f"`{record.data.get('name')}`, sha256 `{record.data.get('fingerprint')}`."]
    sizes = record.data.get("sizes")
    if isinstance(sizes, dict):
        for split, about in sizes.items():
            said = ", ".join(f"{key.replace('_', ' ')} {_count(v)}" for key, v in about.items())
            lines.append(f"- {split}: {said}")
    return lines[0] + "\n\n" + "\n".join(lines[1:])


def _count(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _licences(record: Record, license_id: str | None) -> str:
    target = look_up(record, "config.dataset._target_")
    known = [text for prefix, text in LICENCES.items() if str(target).startswith(prefix)]
    data = GENERATED if target is None else known[0] if known else UNKNOWN
    own = (
        f"The weights are published under `{license_id}`."
        if license_id
        else "No licence is given for the weights."
    )
    return f"- {own}\n- {data}\n- Unrolled, which trained them, is under the MIT licence."


def _files(checks: Checks) -> str:
    rows = [f"| `{name}` | {what} |" for name, what in checks.files.items()]
    rows.append("| `config.json` | how inputs are made and scores are read; the configuration |")
    return "\n".join(["| file | |", "| --- | --- |", *rows])

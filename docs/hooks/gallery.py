"""A hook of MkDocs: a page for each study of ``experiments/``, and a gallery of their records.

A study's page is its README with its pictures and its configuration. The gallery has a section for
each study: its question, the rows and the answer that ``results.json`` holds, and a picture. A
study without recorded results has a page, and the gallery says that it has none.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
INTRODUCTION = """# Gallery of studies

Each study is a folder of `experiments/` with its configuration, its recorded results and the
command that repeats it. This page is made from those records when the site is built.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the pictures of the studies."""
    for path, content in pages(EXPERIMENTS).items():
        files.append(File.generated(config, path, content=content))
    for picture in sorted(EXPERIMENTS.glob("*/*.png")):
        name = f"gallery/{picture.parent.name}/{picture.name}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def pages(experiments: Path) -> dict[str, str]:
    """Markdown by its path in the site: ``gallery/index.md``, and one for each study."""
    studies = sorted(path.parent for path in experiments.glob("*/README.md"))
    made = {f"gallery/{study.name}/index.md": _study(study) for study in studies}
    sections = "\n\n".join(_section(study) for study in studies)
    return {"gallery/index.md": f"{INTRODUCTION}\n{sections}\n", **made}


def _study(folder: Path) -> str:
    text = (folder / "README.md").read_text(encoding="utf-8")
    configuration = (folder / "config.yaml").read_text(encoding="utf-8")
    # Every number stays in the checkout: a site of megabytes of JSON would help nobody.
    text = re.sub(r"\[([^\]]+)\]\(results\.json\)", r"\1", text)
    return f"{text}\n## Configuration\n\n```yaml\n{configuration}```\n"


def _section(folder: Path) -> str:
    heading = f"## [{folder.name}]({folder.name}/index.md)"
    paragraphs = (folder / "README.md").read_text(encoding="utf-8").split("\n\n")
    about = " ".join(paragraphs[1].split())
    return "\n\n".join([heading, _relocated(about, folder), *_recorded(folder)])


def _relocated(text: str, folder: Path) -> str:
    """The text of a study's folder, with links that hold one folder above it."""
    text = re.sub(r"\[([^\]]+)\]\(results\.json\)", r"\1", text)
    text = re.sub(r"\]\((?!http|#|\.\./)([^)]+)\)", rf"]({folder.name}/\1)", text)
    return text.replace("](../", "](./")


def _recorded(folder: Path) -> Iterator[str]:
    file = folder / "results.json"
    if not file.is_file():
        yield "No results are recorded: its page says how to make them."
        return
    results = json.loads(file.read_text(encoding="utf-8"))
    if groups := results.get("groups"):
        yield _table(results, groups)
    if answer := results.get("answer"):
        yield "> " + " ".join(answer.split())
    pictures = sorted(folder.glob("*.png"), key=lambda path: path.name == "learning_curves.png")
    if pictures:
        what = pictures[0].stem.replace("_", " ")
        yield f"![{folder.name}: {what}]({folder.name}/{pictures[0].name})"


def _table(results: dict[str, Any], groups: list[dict[str, Any]]) -> str:
    shown = [metric for metric in (results["metric"], results["other_metric"]) if metric]
    lines = [
        "| | "
        + " | ".join([*(metric.replace("/", " ") for metric in shown), "parameters"])
        + " |",
        "| --- |" + " ---: |" * (len(shown) + 1),
    ]
    for group in groups:
        values = [_value(group.get(metric)) for metric in shown]
        parameters = group.get("parameters")
        size = f"{parameters:,}" if isinstance(parameters, int) else ""
        lines.append("| " + " | ".join([f"`{group['label']}`", *values, size]) + " |")
    return "\n".join(lines)


def _value(measured: Any) -> str:
    """Mean and interval, as recorded; ``inf`` is a word there."""
    if measured is None:
        return ""
    mean, low, high = (_number(measured.get(key)) for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]" if low and high else mean


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value or "")

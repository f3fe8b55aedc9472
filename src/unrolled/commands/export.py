"""``unrolled export``: a trained run as a folder that runs without this package."""

import argparse
from pathlib import Path
from typing import Any

from unrolled.commands.evaluate import changed_config
from unrolled.commands.options import add_trust, make_console, trusted_prefixes
from unrolled.config.build import EVERYTHING, OURS
from unrolled.errors import ConfigError
from unrolled.export.packages import require_packages
from unrolled.runs.text import printable
from unrolled.training.load import load_trained_run


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "export",
        allow_abbrev=False,
        help=summary,
        description="Weights (safetensors), a torch.export program, the tokenizer, a model card "
        "and what makes inputs and reads scores, each checked against the run's own model.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="where the run's data is now, such as dataset.path=…",
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: RUN/export")
    parser.add_argument("--onnx", action="store_true", help="an ONNX file, too")
    parser.add_argument(
        "--weights-only", action="store_true", help="no program: weights, tokenizer, card"
    )
    parser.add_argument("--license", metavar="ID", help="of the weights, for the card, as in mit")
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the folder, and say what is in it."""
    console = make_console()
    exported = export(
        options.folder,
        options.to,
        *options.overrides,
        onnx=options.onnx,
        weights_only=options.weights_only,
        license_id=options.license,
        trusted=tuple(trusted_prefixes(options)),
    )
    lines = [
        f"{exported.folder}: {', '.join([*exported.checks.files, 'config.json', 'README.md'])}"
    ]
    for what, value in (
        ("model.pt2", exported.checks.program),
        ("model.onnx", exported.checks.onnx),
    ):
        if value is not None:
            said = (
                "the run's own scores to the last digit" if value == 0 else f"within {value:.2g}"
            )
            lines.append(f"{what}: {said}")
    if not exported.checks.same_data:
        lines.append("checked on other data than the run's record is about")
    for line in lines:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    return 0


def export(
    folder: Path,
    to: Path | None = None,
    *overrides: str,
    onnx: bool = False,
    weights_only: bool = False,
    license_id: str | None = None,
    trusted: tuple[str, ...] = OURS,
) -> Any:
    """Export the best checkpoint of a run.

    Args:
        to: the folder to write; None: ``export`` in the run's own.
        overrides: where the run's data is now (``dataset.path=…``).
        onnx: write an ONNX file, too.
        weights_only: write no program.
        license_id: of the weights, for the card.
        trusted: prefixes of modules outside this package that the configuration may name.

    Returns:
        ``unrolled.export.folder.Exported``.

    Raises:
        RunError: the folder holds no finished run, or the target something else.
        ConfigError: options that exclude one another, or a package that is missing.
        DataError: the run's data cannot be read.
        ExportError: the model cannot be written in a format, or computes something else in it.
    """
    if onnx and weights_only:
        raise ConfigError("--onnx and --weights-only: an ONNX file is a program; leave out one")
    require_packages(onnx=onnx)
    from unrolled.export.folder import Options, export_run

    run = load_trained_run(folder, trusted)
    config = changed_config(run.config, overrides, ("dataset",), "an export")
    named = any(o.startswith(("dataset=", "dataset._target_=")) for o in overrides)
    options = Options(onnx, weights_only, license_id, EVERYTHING if named else trusted)
    return export_run(run, to or folder / "export", config, options)

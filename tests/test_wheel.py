"""The wheel: built from the sdist, installed elsewhere, and run from a folder that knows nothing
of the checkout."""

import os
import site
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_an_installed_wheel_trains_from_any_folder(tmp_path: Path, text_file: Path) -> None:
    # The sdist first, and the wheel from it: whoever packages Unrolled has nothing else.
    run(sys.executable, "-m", "build", "--no-isolation", "-o", str(tmp_path), str(ROOT))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "tests/test_wheel.py", "docs/cells.md"} <= names
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "installed"
    venv.create(home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    # The dependencies are those of the tests; the package itself must come from the wheel.
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    # What a C compiler makes kernels of.
    sources = packages / "unrolled" / "kernels" / "csrc"
    assert {"fp32.c", "bf16.c", "numbers.h"} <= {path.name for path in sources.iterdir()}
    located = run(str(python), "-c", "import unrolled; print(unrolled.__file__)")
    assert located.strip().startswith(str(home))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = [
        str(home / "bin" / "unrolled"), "train", "dataset=text", f"dataset.path={text_file}",
        "trainer.max_steps=2", "task.batch_size=2",
    ]  # fmt: skip
    run(*command, cwd=folder)
    assert list(folder.glob("outputs/default/*/record.json"))
    # The page's template, styles and script travel as well.
    run(str(home / "bin" / "unrolled"), "compare", "outputs/default", cwd=folder)
    report = (folder / "outputs" / "default" / "comparison" / "report.html").read_text()
    assert "prefers-color-scheme" in report
    assert "vegaEmbed" in report
    listed = run(str(home / "bin" / "unrolled"), "train", "experiment=first_comparison", "--cfg")
    assert "study: first_comparison" in listed


def run(*command: str, cwd: Path | None = None) -> str:
    # A search path of the tests' own would find the checkout.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout

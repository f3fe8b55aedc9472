"""The files by which others join: citation, changelog, issue forms, hooks and workflows."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import unrolled

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == unrolled.__version__
    assert citation["license"] == PROJECT["license"]
    assert all("name" in author or "family-names" in author for author in citation["authors"])


def test_the_changelog_is_kept() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\](.*)$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    for _, date in versions[1:]:
        assert re.fullmatch(r" - \d{4}-\d\d-\d\d", date)
    kinds = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#")):
            path, _, heading = target.partition("#")
            found = (page.parent / path).resolve()
            assert found.exists(), f"{page.name}: {target}"
            if heading:
                headings = re.findall(
                    r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE
                )
                slugs = [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]
                assert heading in slugs, f"{page.name}: {target}"


def test_issue_forms_are_what_github_reads() -> None:
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        if path.stem == "config":
            continue
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys(), path.name
        assert all(part["type"] in kinds and part["attributes"]["label"] for part in form["body"])
        names = [part["id"] for part in form["body"]]
        assert len(names) == len(set(names)), path.name


def test_the_readme_is_short() -> None:
    # Detail is for docs/.
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_hooks_run_what_the_tests_run() -> None:
    (local,) = load(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in local["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for entry in entries:
        program, *command = entry.split()
        words = [Path(program).name, *(word for word in command if not word.startswith("-"))]
        assert "$(BIN)/" + " ".join(words) in makefile


def test_the_workflow_runs_ci_on_every_python_that_is_supported() -> None:
    job = load(".github/workflows/ci.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    low, high = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert matrix["python"] == [f"3.{minor}" for minor in range(int(low), int(high))]
    assert {one["dependencies"] for one in matrix["include"]} == {"oldest", "newest"}
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_every_dependency_is_pinned_for_the_tests() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    # Package names are the same with - and _.
    pinned = {_name(line.partition("==")[0]) for line in lines if not line.startswith("#")}
    extras = PROJECT["optional-dependencies"].values()
    every = [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]
    needed = {_name(re.split(r"[><=\[]", one)[0]) for one in every} - {"unrolled"}
    assert needed <= pinned


def _name(package: str) -> str:
    return package.lower().replace("_", "-")

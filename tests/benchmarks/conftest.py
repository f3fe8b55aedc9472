from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks, which are not installed, as they are in the root of the checkout."""
    monkeypatch.syspath_prepend(ROOT)

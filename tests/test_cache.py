"""Where things are kept that can be made again."""

from pathlib import Path

import pytest

from unrolled.cache import default_cache


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UNROLLED_CACHE", "~/there")
    assert default_cache() == tmp_path / "there"
    monkeypatch.delenv("UNROLLED_CACHE")
    assert default_cache() == tmp_path / ".cache" / "unrolled"

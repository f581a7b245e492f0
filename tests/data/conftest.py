"""Data sets that remember which files they have checked do so in a cache of the test's own."""

import pytest


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path_factory.getbasetemp() / "cache-of-data"))

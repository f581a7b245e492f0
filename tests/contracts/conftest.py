"""The projects and packages that bring members from outside."""

import sys

import pytest

from tests.compress.conftest import material
from tests.contracts.outside import install_package
from tests.tiny_project import deployed, shared_cache, tiny

__all__ = ["deployed", "material", "shared_cache", "tiny"]


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Return a project that is the working folder; what is imported of it is forgotten afterwards."""
    known = set(sys.modules)
    folder = tmp_path / "plugins_project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    for name in set(sys.modules) - known:
        if name.startswith(("toolchain_plugin_", "acme_edge")):
            del sys.modules[name]


@pytest.fixture
def installed(plugins, tmp_path, monkeypatch):
    """Return the folder that holds an installed package of somebody else."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(install_package(folder))
    return folder

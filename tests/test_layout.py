"""Tests mirror the house: those of toolchain/a/b.py are found at tests/a/test_b.py, or tested_elsewhere.toml says where."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest

_TESTS = Path(__file__).parent
_PACKAGE = _TESTS.parent / "toolchain"
# The largest conftest; what is larger are several things, and each is a file of its own.
_CONFTEST_LINES_MAX = 200


@dataclass(frozen=True)
class Elsewhere:
    """Modules (or patterns of them) that are tested by files that do not carry their names."""

    modules: Sequence[str]
    by: Sequence[str]
    because: str

    def covers(self, module: str) -> bool:
        return any(fnmatchcase(module, pattern) for pattern in self.modules)


def read_elsewhere() -> list[Elsewhere]:
    return [Elsewhere(**entry) for entry in tomllib.loads((_TESTS / "tested_elsewhere.toml").read_text())["elsewhere"]]


def list_modules() -> list[str]:
    """Return the modules below toolchain/; what an __init__ or a __main__ has is tested through its package."""
    found = (path.relative_to(_PACKAGE) for path in _PACKAGE.rglob("*.py") if not path.stem.startswith("__"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in ("models", "targets"))


def find_test(module: str) -> Path:
    path = PurePosixPath(module)
    return _TESTS / path.with_name(f"test_{path.name}")


def list_untested(modules: Sequence[str], elsewhere: Sequence[Elsewhere]) -> list[str]:
    own = [module for module in modules if not find_test(module).is_file()]
    return [module for module in own if not any(entry.covers(module) for entry in elsewhere)]


def test_every_module_has_its_tests_where_one_looks_for_them():
    untested = list_untested(list_modules(), read_elsewhere())
    places = [find_test(module).relative_to(_TESTS.parent).as_posix() for module in untested]
    assert untested == [], f"write {', '.join(places)}, or say in tests/tested_elsewhere.toml what tests them and why"


def test_a_new_module_without_tests_is_found():
    assert list_untested(["agent/new.py", "agent/manifest.py"], read_elsewhere()) == ["agent/new.py"]


@pytest.mark.parametrize("entry", read_elsewhere(), ids=lambda entry: entry.modules[0])
def test_what_is_declared_is_there_and_needed(entry):
    assert entry.because
    assert entry.by
    assert [path for path in entry.by if not (_TESTS / path).is_file()] == []
    needed = [module for module in list_modules() if not find_test(module).is_file()]
    idle = [pattern for pattern in entry.modules if not any(fnmatchcase(name, pattern) for name in needed)]
    assert idle == [], "has tests of its own, or is gone: take it out"


def test_no_module_is_declared_twice():
    entries = read_elsewhere()
    needed = [module for module in list_modules() if not find_test(module).is_file()]
    assert [module for module in needed if sum(entry.covers(module) for entry in entries) > 1] == []


def test_a_conftest_is_short():
    lengths = {str(path): len(path.read_text().splitlines()) for path in _TESTS.rglob("conftest.py")}
    assert {path: length for path, length in lengths.items() if length >= _CONFTEST_LINES_MAX} == {}

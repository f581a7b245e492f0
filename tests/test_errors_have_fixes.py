"""Every error passes its parts by keyword and tells a fix, or errors_without_fix.toml says why a user can do nothing."""

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.error_calls import ErrorCall, list_error_calls

_TESTS = Path(__file__).parent
_PACKAGE = _TESTS.parent / "toolchain"


@dataclass(frozen=True)
class Place:
    """A function whose errors have no fix, by its file below toolchain/."""

    file: str
    function: str
    because: str


def read_places() -> list[Place]:
    return [Place(**entry) for entry in tomllib.loads((_TESTS / "errors_without_fix.toml").read_text())["place"]]


def list_calls() -> list[tuple[str, ErrorCall]]:
    paths = sorted(_PACKAGE.rglob("*.py"))
    return [
        (path.relative_to(_PACKAGE).as_posix(), call)
        for path in paths
        for call in list_error_calls(path.read_text(encoding="utf-8"))
    ]


def test_every_error_passes_its_parts_by_keyword():
    by_place = [f"{file}:{call.line}" for file, call in list_calls() if not call.is_by_keyword]
    assert by_place == [], "write where=, expected=, found= and fix="


def test_every_error_tells_a_fix_or_it_is_said_why_there_is_none():
    declared = {(place.file, place.function) for place in read_places()}
    bare = [(file, call) for file, call in list_calls() if not call.has_fix and (file, call.function) not in declared]
    places = [f"{file}:{call.line}" for file, call in bare]
    assert places == [], "say what a user does about it with fix=, or tests/errors_without_fix.toml why nothing"


def test_what_is_declared_is_there_and_needed():
    bare = Counter((file, call.function) for file, call in list_calls() if not call.has_fix)
    places = read_places()
    assert [place for place in places if not place.because] == []
    assert [place for place in places if (place.file, place.function) not in bare] == [], "has a fix: take it out"
    assert len({(place.file, place.function) for place in places}) == len(places)


def test_the_errors_of_every_wing_are_read():
    wings = {file.split("/")[0] for file, _ in list_calls()}
    assert {"agent", "bundle", "compress", "data", "deploy", "graph", "lower", "module", "optimize"} <= wings


_FIXED = [
    'usage("it is wrong", where="here", expected="this", found="that", fix="write this")',
    'ToolchainError(code, "it is wrong", fix=f"write {this}")',
    'missing("it is not there", fix="install it" if name is None else f"install {name}")',
    'malformed("it is broken", fix=other.fix or "copy it again")',
    'ToolchainError(code, "it is wrong", fix=FIXES.get(name, "start again"))',
    'def f():\n what, fix = "it is wrong", "write this"\n raise usage(what, fix=fix)',
    'def f(fix: str):\n return usage("it is wrong", fix=fix)',
    'class E(ToolchainError):\n def __init__(self):\n  super().__init__(code, "it is wrong", fix="write this")',
]
_BARE = [
    'usage("it is wrong", where="here", expected="this", found="that")',
    'usage("it is wrong", fix="")',
    'ToolchainError(code, "it is wrong", fix=None)',
    'malformed("it is broken", **parts)',
    'missing("it is not there", fix="install it" if name else None)',
    'ToolchainError(code, "it is wrong", fix=FIXES.get(name))',
    'def f():\n fix = "write this"\n if other:\n  fix = None\n raise usage("it is wrong", fix=fix)',
    'def f(fix: str | None):\n return usage("it is wrong", fix=fix)',
    'class E(ToolchainError):\n def __init__(self):\n  super().__init__(code, "it is wrong")',
]


@pytest.mark.parametrize("source", _FIXED)
def test_a_fix_is_seen(source):
    assert [(call.has_fix, call.is_by_keyword) for call in list_error_calls(source)] == [(True, True)]


@pytest.mark.parametrize("source", _BARE)
def test_an_error_without_a_fix_is_found(source):
    assert [call.has_fix for call in list_error_calls(source)] == [False]


@pytest.mark.parametrize(
    "source",
    [
        'usage("it is wrong", "here", fix="write this")',
        'usage(*parts, fix="write this")',
        'ToolchainError(code, "it is wrong", "here", "this", "that", fix="write this")',
        'class E(ToolchainError):\n def __init__(self):\n  super().__init__(code, "it is wrong", "here", fix="do")',
    ],
)
def test_an_error_whose_parts_have_no_names_is_found(source):
    assert [call.is_by_keyword for call in list_error_calls(source)] == [False]


def test_what_makes_no_error_is_passed_over():
    assert list_error_calls('class E(Exception):\n def __init__(self):\n  super().__init__("a", "b", "c")') == []
    assert list_error_calls('parser.usage("a", "b", "c")') == []

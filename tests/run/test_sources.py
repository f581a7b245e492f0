"""Which files a module runs, and what changes their version: on a small package."""

import json
import os

import pytest

from toolchain.run import sources as module
from toolchain.run.sources import Sources, parse_source

FILES = {
    "__init__.py": "",
    "stages/__init__.py": "from own.stages import first, second",
    "stages/first.py": "import own.work\nfrom own.stages.shared import Run\n",
    "stages/second.py": "",
    "stages/shared.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import own.typed\nelse:\n    import own.other\n",
    "work.py": "def build():\n    from own import lazy\n    from own.tools import saw, Hammer\n    import numpy.linalg, os\n",
    "lazy.py": "try:\n    from . import near\nexcept ImportError:\n    import own.fallback\n",
    "near.py": "from .deep.inner import thing\n",
    "fallback.py": "",
    "typed.py": "",
    "other.py": "",
    "deep/__init__.py": "from ..around import x\n",
    "deep/inner.py": "from .. import cycle\n",
    "around.py": "",
    "cycle.py": "import own.work\n",
    "tools/__init__.py": "class Hammer: ...\n",
    "tools/saw.py": "",
    "tools/unused.py": "",
    "methods/__init__.py": "",
    "methods/one.py": "",
    "methods/two.py": "",
    "unrelated.py": "import own.stages.first\n",
}
RUNS = {
    *("stages.first", "stages.shared", "other", "work", "lazy", "near", "fallback", "deep", "deep.inner", "around"),
    *("cycle", "tools", "tools.saw"),
}


@pytest.fixture
def package(tmp_path):
    """Return a folder with a package that imports in every way that there is."""
    for name, text in FILES.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "own"


def list_names(package, *modules):
    return {name.removeprefix("own.") for name in Sources(package).list_imports(*modules)} - {"own"}


def test_imports_are_followed_wherever_they_stand_and_not_to_the_package_that_holds_the_root(package):
    assert list_names(package, "own.stages.first") == RUNS


def test_a_package_that_is_imported_by_name_is_followed(package):
    assert list_names(package, "own.unrelated") == RUNS | {"unrelated", "stages", "stages.second"}


def test_what_is_imported_by_a_name_of_the_users_is_named_by_the_caller(package):
    assert list_names(package, "own.stages.second", "own.methods.one") == {"stages.second", "methods", "methods.one"}


def test_what_a_file_from_outside_imports_of_the_package_counts(package, tmp_path):
    theirs, broken = tmp_path / "theirs.py", tmp_path / "broken.py"
    theirs.write_text("import json\nfrom . import beside\n\ndef run():\n    from own.methods import one\n")
    broken.write_text("def (:\n")
    sources = Sources(package)
    alone, beside = (sources.list_imports("own.stages.second", outside=files) for files in ([broken], [theirs, broken]))
    assert beside.keys() - alone.keys() == {"own.methods", "own.methods.one"}
    assert sources.hash_imports("own.stages.second", outside=[theirs]) != sources.hash_imports("own.stages.second")


def test_a_module_that_is_not_there_is_refused_rather_than_left_out(package):
    with pytest.raises(ValueError, match=r"own\.methods\.three"):
        Sources(package).list_imports("own.stages.first", "own.methods.three")


def test_libraries_are_those_that_are_neither_ours_nor_pythons(package):
    assert Sources(package).list_libraries("own.stages.first") == {"numpy"}


def test_every_file_that_runs_changes_the_version_and_no_other_does(package):
    paths = {path: path.read_text() for path in package.rglob("*.py")}
    before = Sources(package).hash_imports("own.stages.first")
    runs = set(Sources(package).list_imports("own.stages.first").values())
    for path, text in paths.items():
        path.write_text(f"{text}\nCHANGED = 1\n")
        assert (Sources(package).hash_imports("own.stages.first") != before) is (path in runs), path
        path.write_text(text)


SAME = [
    '"""Doubles."""\n\ndef double(x):\n    """Return it twice."""\n    # a comment\n    return x * 2\n',
    "def double(x):\n    return (x\n            * 2)\n",
]
OTHER = [
    "def double(x):\n    return x * 3\n",
    "def double(y):\n    return y * 2\n",
    "def double(x, *, times=2):\n    return x * times\n",
    "def double(x):\n    return x * 2\nvalue = 'text'\n",
    "def double(x):\n    return x * 2.0\n",
]


@pytest.mark.parametrize("text", SAME)
def test_a_comment_a_docstring_or_another_layout_is_the_same_code(text):
    plain = parse_source(b"def double(x):\n    return x * 2\n")
    assert parse_source(text.encode()).sha256 == plain.sha256


@pytest.mark.parametrize("text", OTHER)
def test_another_statement_name_or_number_is_other_code(text):
    plain = parse_source(b"def double(x):\n    return x * 2\n")
    assert parse_source(text.encode()).sha256 != plain.sha256


def test_a_module_of_another_name_is_other_code(package):
    before = Sources(package).hash_imports("own.stages.second")
    (package / "stages" / "second.py").rename(package / "stages" / "third.py")
    assert Sources(package).hash_imports("own.stages.third") != before


def test_what_was_found_is_kept_and_never_for_another_content_of_the_same_time_and_size(package, tmp_path, monkeypatch):
    memo, path = tmp_path / "memo.json", package / "other.py"
    path.write_text("x = 1\n")
    os.utime(path, (0, 0))
    before = Sources(package, memo=memo).hash_imports("own.stages.first")
    parsed = []
    monkeypatch.setattr(module, "parse_source", lambda content: parsed.append(content) or parse_source(content))
    assert Sources(package, memo=memo).hash_imports("own.stages.first") == before
    assert parsed == []
    path.write_text("x = 2\n")
    os.utime(path, (0, 0))
    assert Sources(package, memo=memo).hash_imports("own.stages.first") != before
    assert parsed == [b"x = 2\n"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": [0], "files": {}}', '{"version": [1]}'])
def test_a_memo_that_is_broken_or_of_another_version_is_made_anew(package, tmp_path, text):
    memo = tmp_path / "memo.json"
    expected = Sources(package, memo=memo).hash_imports("own.stages.first")
    whole = memo.read_text()
    memo.write_text(text)
    assert Sources(package, memo=memo).hash_imports("own.stages.first") == expected
    assert memo.read_text() == whole


@pytest.mark.parametrize(
    "kept",
    [
        None,
        1,
        [],
        "ab",
        ["0" * 64, [[0, 1, []]]],
        [1, []],
        ["0" * 64, [["x", "os", []]]],
        ["0" * 64, [[0, "os", [None]]]],
    ],
)
def test_what_a_memo_cannot_have_kept_of_a_file_is_found_anew(package, tmp_path, kept):
    memo = tmp_path / "memo.json"
    expected = Sources(package, memo=memo).hash_imports("own.stages.first")
    document = json.loads(memo.read_text())
    memo.write_text(json.dumps({**document, "files": dict.fromkeys(document["files"], kept)}))
    assert Sources(package, memo=memo).hash_imports("own.stages.first") == expected
    assert json.loads(memo.read_text()) == document


def test_a_pipe_in_the_place_of_a_memo_is_not_waited_for(package, tmp_path):
    os.mkfifo(tmp_path / "memo.json")
    expected = Sources(package).hash_imports("own.stages.first")
    assert Sources(package, memo=tmp_path / "memo.json").hash_imports("own.stages.first") == expected


def test_a_memo_that_cannot_be_written_changes_nothing(package, tmp_path):
    (tmp_path / "file").write_text("in the way")
    expected = Sources(package).hash_imports("own.stages.first")
    assert Sources(package, memo=tmp_path / "file" / "memo.json").hash_imports("own.stages.first") == expected

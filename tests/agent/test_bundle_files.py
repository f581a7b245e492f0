import copy

import pytest

from tests.agent.test_manifest import as_document, assert_malformed


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "",
        "a\\b",
        "..\\x",
        "C:x",
        "a\nb",
        "a\0b",
        "caf\udce9",
        "x" * 256,
        "manifest.json",
        "manifest.json.sig",
    ],
)
def test_an_unsafe_path_is_refused(path):
    document = as_document()
    document["files"][0]["path"] = path
    document["files"].sort(key=lambda entry: entry["path"])
    assert_malformed(document)


@pytest.mark.parametrize(
    ("first", "second"),
    [("agent/a.py", "agent/A.py"), ("Agent/x.py", "agent/y.py"), ("stra\u00dfe", "STRASSE"), ("e\u0301", "\u00c9")],
)
def test_paths_that_only_differ_in_case_are_refused(first, second):
    document = as_document()
    for path in (first, second):
        document["files"].append({"path": path, "size_bytes": 0, "sha256": "0" * 64})
    document["files"].sort(key=lambda entry: entry["path"])
    assert "case" in assert_malformed(document)


def test_a_file_listed_twice_or_out_of_order_is_refused():
    document = as_document()
    document["files"].reverse()
    assert_malformed(document)
    document = as_document()
    document["files"].insert(0, copy.deepcopy(document["files"][0]))
    assert_malformed(document)


def test_a_path_that_is_file_and_folder_is_refused():
    document = as_document()
    document["files"].insert(0, {"path": "agent", "size_bytes": 0, "sha256": "0" * 64})
    assert_malformed(document)

import copy
import json

import pytest

from tests.agent.test_manifest import as_document, assert_malformed
from toolchain.agent.bundle_files import BUNDLE_SIZE_BYTES_MAX
from toolchain.agent.manifest import parse_manifest


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
        "a/" * 16 + "a",
        "a/" * 60_000 + "a",
        ("x" * 200 + "/") * 5 + "x" * 200,
        "-rf",
        "a.",
        "a ",
        " a",
        "a b",
        "a\tb",
        "pay\u202eload",  # a mark that turns the direction of what follows
        "pay\u200fload",
        "pay\u2066load",
        "pay\u200bload",  # as wide as nothing
        "\ufeffpayload",
        "p\u0430yload",  # a Cyrillic letter that looks like a
        "stra\u00dfe",
        "e\u0301",
        "\u00e9",
        "a\x7fb",
        "a\x1b[2Jb",
        "manifest.json",
        "manifest.json.sig",
        "MANIFEST.JSON",
        "Manifest.json",
        "manifest.JSON.sig",
        "manifest.json/x",
        "shipped.json",
        "SHIPPED/model.onnx",
    ],
    ids=lambda path: ascii(path[:30]),
)
def test_an_unsafe_path_is_refused(path):
    document = as_document()
    document["files"][0]["path"] = path
    document["files"].sort(key=lambda entry: entry["path"])
    assert_malformed(document)


@pytest.mark.parametrize(
    ("first", "second"),
    [("agent/a.py", "agent/A.py"), ("Agent/x.py", "agent/y.py")],
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


@pytest.mark.parametrize(
    "path",
    ["a", ".a", "_", "x" * 255, "a/" * 15 + "a", "golden/manifest.json", "payload/MANIFEST.JSON", "agent/a-b_c.1.py"],
    ids=lambda path: path[:30],
)
def test_a_plain_path_is_read(path):
    document = as_document()
    document["files"].append({"path": path, "size_bytes": 0, "sha256": "0" * 64})
    document["files"].sort(key=lambda entry: entry["path"])
    assert path in [entry.path for entry in parse_manifest(json.dumps(document).encode()).files]


def test_a_bundle_that_no_board_could_hold_is_refused():
    document = as_document()
    document["files"][0]["size_bytes"] = BUNDLE_SIZE_BYTES_MAX - len(document["files"]) + 1
    parse_manifest(json.dumps(document).encode())
    document["files"][1]["size_bytes"] += 1
    assert "bytes in all" in assert_malformed(document)

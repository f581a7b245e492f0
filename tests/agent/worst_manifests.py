"""Manifests of the greatest size that is read, each the worst of its kind: what costs most to parse, to decode or to check."""

import itertools
import json

from tests.agent.test_manifest import as_document
from toolchain.agent.manifest import MANIFEST_SIZE_BYTES_MAX

_MARK = '"@"'
_SHA256 = "0" * 64
# Of one value, beside what else is in a manifest.
_LONG = MANIFEST_SIZE_BYTES_MAX // 10 * 9


def _write_name(number):
    """Return the shortest names first: there are more of them in a file."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    name = ""
    while True:
        name += letters[number % 62]
        number //= 62
        if not number:
            return name


def _write_file(path):
    return f'{{"path":"{path}","size_bytes":0,"sha256":"{_SHA256}"}}'


def _fill(place, around, part):
    """Return a good manifest but for what lies at a place: as many parts, each made of its number, as there is room for."""
    document = as_document()
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = "@"
    head, tail = json.dumps(document, separators=(",", ":")).split(_MARK)
    start, end = around.split("@")
    room = MANIFEST_SIZE_BYTES_MAX - len((head + start + end + tail).encode())
    parts = []
    for number in itertools.count():
        text = part(number)
        room -= len(text.encode()) + 1
        if room < -1:
            break
        parts.append(text)
    return (head + start + ",".join(parts) + end + tail).encode()


def _anywhere(around, part):
    return _fill(("provenance",), around, part)


# As functions: all of them at once would be what is measured.
WORST = {
    "empty lists": lambda: _anywhere('{"x":[@]}', lambda number: "[]"),
    "empty objects": lambda: _anywhere('{"x":[@]}', lambda number: "{}"),
    "small objects": lambda: _anywhere('{"x":[@]}', lambda number: '{"a":0}'),
    "lists of lists": lambda: _anywhere('{"x":[@]}', lambda number: "[" * 28 + "]" * 28),
    "keys of numbers": lambda: _anywhere("{@}", lambda number: f'"{_write_name(number)}":0'),
    "keys of lists": lambda: _anywhere("{@}", lambda number: f'"{_write_name(number)}":[]'),
    "one key": lambda: _anywhere("{@}", lambda number: '"a":0'),
    "whole numbers": lambda: _anywhere('{"x":[@]}', lambda number: "999"),
    "fractions": lambda: _anywhere('{"x":[@]}', lambda number: "1e1"),
    "one whole number": lambda: _anywhere('{"x":@}', lambda number: "9" * _LONG),
    "one fraction": lambda: _anywhere('{"x":@}', lambda number: "0." + "9" * _LONG),
    "one power": lambda: _anywhere('{"x":@}', lambda number: "1e" + "9" * _LONG),
    "texts": lambda: _anywhere('{"x":[@]}', lambda number: f'"{_write_name(number)}"'),
    "escapes": lambda: _anywhere('{"x":"@"}', lambda number: "\\u1234" * 1000),
    "wide letters": lambda: _anywhere('{"x":"@"}', lambda number: "\U0001f600" * 1000),
    "deep lists": lambda: b"[" * MANIFEST_SIZE_BYTES_MAX,
    "deep objects": lambda: b'{"a":' * (MANIFEST_SIZE_BYTES_MAX // 5),
    "axes of any size": lambda: _fill(("inputs", 0, "shape"), "[@]", lambda number: "null"),
    "axes": lambda: _fill(("inputs", 0, "shape"), "[@]", lambda number: "1"),
    "tensors": lambda: _fill(
        ("inputs",), "[@]", lambda number: f'{{"name":"{_write_name(number)}","dtype":"bool","shape":[]}}'
    ),
    "golden arrays": lambda: _fill(
        ("golden", "inputs"), "{@}", lambda number: f'"{_write_name(number)}":"golden/in.npy"'
    ),
    "targets": lambda: _fill(("golden", "targets"), "{@}", lambda number: f'"{_write_name(number)}":""'),
    "limits": lambda: _fill(("gates", "limits"), "{@}", lambda number: f'"{_write_name(number)}":1e1'),
    "gates": lambda: _fill(("gates", "sqnr_db_min"), "{@}", lambda number: f'"{_write_name(number)}":1e1'),
    "features": lambda: _fill(("compatible", "cpu_features"), "[@]", lambda number: f'"{_write_name(number)}"'),
    "candidates": lambda: _fill(
        ("candidates",), "[@]", lambda number: '{"precision":"","runtime":"","threads":1,"pins_threads":true,"path":""}'
    ),
    "files": lambda: _fill(("files",), "[@]", lambda number: _write_file(f"{number:06}")),
    "files of many folders": lambda: _fill(("files",), "[@]", lambda number: _write_file(f"{number:06}{'/a' * 15}")),
    "files of deep folders": lambda: _fill(
        ("files",), "[@]", lambda number: _write_file("a/" * 10_000 + f"{number:06}")
    ),
    "a file in 200,000 folders": lambda: _fill(("files",), "[@]", lambda number: _write_file("a/" * 200_000 + "a")),
    "a version": lambda: _fill(("compatible", "runtime_versions", "onnxruntime"), '">=@"', lambda number: "1" * _LONG),
    "a model's name": lambda: _fill(("model",), '"@"', lambda number: "m" * _LONG),
    "signs of no text": lambda: b"\xff" * MANIFEST_SIZE_BYTES_MAX,
}

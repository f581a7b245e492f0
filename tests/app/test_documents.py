"""What lies on a board is read by the C++ side whatever it is: into an Error, and never into a crash."""

import io
import json
import random
import struct
import subprocess

import numpy as np
import pytest

from tests.agent.application.boards import make_payload_bundle
from tests.app.decoding import list_cases
from tests.app.headers import needs_headers
from tests.fuzz.mutations import ODD_BYTES, ODD_VALUES

pytestmark = needs_headers

_PICTURE = {"type": "uint8", "layout": "NHWC", "colour": "NV12/BT.601/limited", "height": 12, "width": 16}
_SENSOR = {
    "name": "input",
    "picture": {**_PICTURE, "resize": "crop", "fill": 114, "crop_share": 0.8},
    "sound": None,
    "text": None,
}
_PAIR = {"picture": "p", "tensor": "t", "restored": "r", "left": 0, "top": 0, "width": 1, "height": 1}


@pytest.fixture
def read(sanitized, tmp_path):
    """Return a function that has documents read, and returns how many could be and how many were refused."""

    def run(kind, documents):
        path = tmp_path / "documents"
        path.write_bytes(b"".join(struct.pack("<I", len(document)) + document for document in documents))
        done = subprocess.run([sanitized / "fuzz", kind, path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        read_number, refused = map(int, done.stdout.split())
        assert read_number + refused == len(documents)
        return read_number, refused

    return run


def list_places(document, path=()):
    """Yield the path of every value within a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from list_places(value, (*path, key))


def replace_each(document):
    """Yield the document with each of its values replaced by each odd one, and without it."""
    for path in list(list_places(document)):
        owner = document
        for key in path[:-1]:
            owner = owner[key]
        before = owner[path[-1]]
        for odd in ODD_VALUES:
            owner[path[-1]] = odd
            yield json.dumps(document).encode()
        if isinstance(owner, dict):
            del owner[path[-1]]
            yield json.dumps(document).encode()
        owner[path[-1]] = before


def edit_bytes(seeds, count):
    """Return so many of the seeds after a few edits of their bytes."""
    rng = random.Random(11)
    edited = []
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            start = rng.randint(0, len(data))
            end = start + rng.choice((0, 1, 2, 4, 8, 64))
            data[start:end] = rng.choice((rng.choice(ODD_BYTES), b"", rng.randbytes(3), data[start:end] * 2))
        edited.append(bytes(data))
    return edited


def describe_manifest():
    """Return a manifest with every part that the application reads, and few files."""
    manifest = json.loads(make_payload_bundle("float32", decoder={"name": "softmax", "options": {}}).manifest_bytes)
    manifest["input"] = _SENSOR
    manifest["output"] = {"classes": ["a", "b"]}
    manifest["golden"]["pairs"] = {"pictures": [_PAIR], "boxes": "b", "texts": None, "answers": {"scores": "a"}}
    used = ("model", "target", "schema", "golden", "inputs", "outputs", "candidates", "input")
    return {**{key: manifest[key] for key in (*used, "output", "metric")}, "files": manifest["files"][:1]}


def test_no_value_of_a_manifest_ends_the_application(read):
    manifest = describe_manifest()
    assert read("manifest", [json.dumps(manifest).encode()]) == (1, 0)
    replaced = list(replace_each(manifest))
    read_number, refused = read("manifest", replaced)
    assert (read_number > 100, refused > len(replaced) / 2) == (True, True)
    read("manifest", edit_bytes([json.dumps(manifest).encode()], 500))


def test_no_value_of_a_verdict_ends_the_application(board, read):
    verdict = json.loads((board.root / "verdicts" / f"{board.current}.json").read_text())
    used = ("schema", "model", "target", "shipped", "exit_code", "time", "python_path")
    verdict = {key: verdict[key] for key in used}
    verdict["bundle_id"] = "a" * 64
    verdict["engine"] = {"path": "engines/x.engine", "sha256": "0" * 64, "size_bytes": 7}
    verdict["environment"] = {"libraries": {"one": "0" * 64}}
    assert read("verdict", [json.dumps(verdict).encode()]) == (1, 0)
    _, refused = read("verdict", list(replace_each(verdict)))
    assert refused > 100
    read("verdict", edit_bytes([json.dumps(verdict).encode()], 500))


def test_no_option_of_a_decoder_ends_the_application(read):
    specs = {json.dumps(spec) for spec, _, _ in list_cases()}
    assert read("decoder", [spec.encode() for spec in specs]) == (len(specs), 0)
    replaced = [document for spec in sorted(specs) for document in replace_each(json.loads(spec))]
    _, refused = read("decoder", replaced)
    assert refused > len(replaced) / 2


def test_no_golden_array_ends_the_application(read):
    arrays = [np.arange(24, dtype=kind).reshape(2, 3, 4) for kind in (np.uint8, np.float32, np.int64, np.float16)]
    arrays += [np.zeros((0, 3), np.float32), np.zeros(3, bool)]
    seeds = []
    for array in arrays:
        file = io.BytesIO()
        np.save(file, array)
        seeds.append(file.getvalue())
    # A row of bytes has no levels that the program tries; it reads the others.
    objects = io.BytesIO()
    np.save(objects, np.array([None, {}], dtype=object), allow_pickle=True)
    assert read("array", [objects.getvalue()]) == (0, 1)
    read("array", [*seeds, *edit_bytes(seeds, 3000)])

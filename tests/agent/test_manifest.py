import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.bundle_files import FileEntry
from toolchain.agent.candidates import CANDIDATES_MAX, Candidate
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import (
    MANIFEST_SIZE_BYTES_MAX,
    SCHEMA,
    Compatible,
    Gates,
    Golden,
    Manifest,
    MetricSpec,
    Original,
    TensorSpec,
    compute_bundle_id,
    encode_manifest,
    parse_manifest,
    read_manifest,
)

FILES = ("agent/__main__.py", "golden/in.npy", "golden/out.npy", "golden/target-0.npy", "payload/int8/model.onnx")


def make_manifest(**changes):
    fields = {
        "schema": SCHEMA,
        "counter": 7,
        "expires": "2027-01-31T00:00:00Z",
        "model": "small",
        "target": "cpu",
        "emulated": False,
        "signature": "optional",
        "compatible": Compatible(
            arch=None, accelerator=None, runtime_versions={"onnxruntime": ">=1.23"}, cpu_features=("avx2",)
        ),
        "build": BuildSpec(),
        "candidates": (
            Candidate("int8", runtime="onnxruntime", threads=1, pins_threads=False, path="payload/int8/model.onnx"),
        ),
        "reference": "payload/int8/model.onnx",
        "original": Original(path="payload/int8/model.onnx", size_bytes=1, sha256="0" * 64),
        "inputs": (TensorSpec(name="x", dtype="float32", shape=(None, 3)),),
        "outputs": (TensorSpec(name="y", dtype="float32", shape=(None, 4)),),
        "golden": Golden(
            samples=2,
            stacked=False,
            inputs={"x": "golden/in.npy"},
            outputs={"y": "golden/out.npy"},
            originals={"y": "golden/out.npy"},
            targets={"labels": "golden/target-0.npy"},
        ),
        "metric": MetricSpec(name="top1", reference=0.9),
        "gates": Gates(metric_drop_max=0.01, sqnr_db_min={"int8": 20.0}, int8_share_min=None, latency_p90_ms_max=5.0),
        "provenance": {"seed": 1, "nested": {"list": [1.5, None, "x"]}},
        "files": tuple(FileEntry(path=path, size_bytes=1, sha256="0" * 64) for path in FILES),
    }
    return Manifest(**{**fields, **changes})


def as_document(**changes):
    return json.loads(encode_manifest(make_manifest(**changes)))


def assert_malformed(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(ToolchainError) as caught:
        parse_manifest(data)
    assert caught.value.code == ExitCode.MALFORMED
    return str(caught.value)


def list_places(value, place=()):
    """Yield the path of keys to every object and scalar of a document."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from list_places(item, (*place, key))


def find(document, place):
    for key in place:
        document = document[key]
    return document


PLACES = [place for place in list_places(as_document()) if place[:1] != ("provenance",) or len(place) == 1]
# Objects with fixed keys, and those keys; the others have names of tensors, precisions, runtimes or limits as keys.
FREE = (
    *(("golden", name) for name in ("inputs", "outputs", "targets")),
    *(("gates", name) for name in ("sqnr_db_min", "task_sqnr_db_min", "limits")),
    ("compatible", "runtime_versions"),
    ("metric", "options"),
    ("provenance",),
)
RECORDS = [place for place in PLACES if isinstance(find(as_document(), place), dict) and place not in FREE]
KEYS = [place for place in PLACES if place and place[:-1] in RECORDS]


def test_a_manifest_survives_writing_and_reading():
    manifest = make_manifest()
    assert parse_manifest(encode_manifest(manifest)) == manifest


@given(
    names=st.lists(st.text(min_size=1, max_size=8), min_size=1, unique=True),
    reference=st.floats(0, 1),
    limit=st.none() | st.floats(0, 1e300),
    provenance=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
)
def test_any_tensor_names_numbers_and_provenance_survive(names, reference, limit, provenance):
    def is_utf8(text):
        return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)

    manifest = make_manifest(
        inputs=tuple(TensorSpec(name=name, dtype="int64", shape=(None,)) for name in names),
        golden=Golden(
            samples=1,
            stacked=False,
            inputs=dict.fromkeys(names, "golden/in.npy"),
            outputs={"y": "golden/out.npy"},
            originals={"y": "golden/out.npy"},
            targets={"labels": "golden/target-0.npy"},
        ),
        metric=MetricSpec(name="top1", reference=reference),
        gates=Gates(metric_drop_max=limit, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None),
        provenance=provenance,
    )
    if all(map(is_utf8, [*names, *provenance, *(v for v in provenance.values() if isinstance(v, str))])):
        assert parse_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize("place", KEYS, ids=str)
def test_every_missing_key_is_refused(place):
    document = as_document()
    del find(document, place[:-1])[place[-1]]
    assert repr(place[-1]) in assert_malformed(document)


@pytest.mark.parametrize("place", RECORDS, ids=str)
def test_an_unknown_key_is_refused_at_every_depth(place):
    document = as_document()
    find(document, place)["surprise"] = 1
    assert "surprise" in assert_malformed(document)


OPTIONAL_TEXTS = (("expires",), ("original", "path"))


@pytest.mark.parametrize("place", [place for place in PLACES if place], ids=str)
def test_a_value_of_the_wrong_type_is_refused_everywhere(place):
    wrong_values = {
        dict: [[], None],
        list: [{}, "text"],
        str: [1, None if place[-2:] not in OPTIONAL_TEXTS else 1.5],
        bool: [1, "true"],
        int: ["1", True, 1.5],
        float: ["0.5", True],
        type(None): [[], {}],
    }
    for wrong in wrong_values[type(find(as_document(), place))]:
        document = as_document()
        find(document, place[:-1])[place[-1]] = wrong
        assert_malformed(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema",), SCHEMA + 1),
        (("counter",), -1),
        (("counter",), 2**53),
        (("expires",), "2027-01-31"),
        (("expires",), "2027-02-30T00:00:00Z"),
        (("expires",), "2027-1-31T00:00:00Z"),
        (("expires",), "2027-01-31T00:00:00+01:00"),
        (("candidates", 0, "threads"), 0),
        (("candidates", 0, "threads"), 1025),
        (("candidates", 0, "pins_threads"), 1),
        (("candidates", 0, "runtime"), "r" * 256),
        (
            ("candidates", 0, "runtime"),
            "openvino",
        ),  # of which no version is told, and of the one that is nothing is opened
        (("model",), "m" * 256),
        (("compatible", "runtime_versions", "onnxruntime"), ">=" + "1" * 256),
        (("inputs", 0, "shape"), [1] * 33),
        (("signature",), "none"),
        (("build", "limit_s"), 0.0),
        (("build", "limit_s"), 901.0),
        (("build", "workspace_mib"), 0),
        (("build", "dla_core"), -1),
        (("candidates",), []),
        (("candidates", 0, "precision"), "int4"),
        (("candidates", 0, "path"), "payload/other.onnx"),
        (("reference",), "payload/other.onnx"),
        (("golden", "samples"), 0),
        (("golden", "targets"), {}),
        (("golden", "inputs"), {"other": "golden/in.npy"}),
        (("golden", "outputs", "y"), "golden/other.npy"),
        (("golden", "originals", "y"), "golden/other.npy"),
        (("golden", "originals"), {}),
        (("original", "path"), "payload/other.onnx"),
        (("gates", "precision_required"), "int3"),
        (("metric", "reference"), None),
        (("metric", "truth"), "anything"),
        (("metric",), {"name": None, "reference": None}),
        (("inputs",), []),
        (("inputs", 0, "shape", 1), -3),
        (("inputs", 0, "dtype"), "object"),
        (("gates", "sqnr_db_min"), {"int3": 1.0}),
        (("gates", "task_sqnr_db_min"), {"int3": 1.0}),
        (("files", 0, "sha256"), "0" * 63),
        (("files", 0, "size_bytes"), -1),
    ],
    ids=str,
)
def test_parts_that_contradict_each_other_are_refused(place, value):
    document = as_document()
    find(document, place[:-1])[place[-1]] = value
    assert_malformed(document)


def list_candidates(*ways):
    path = "payload/int8/model.onnx"
    names = ("precision", "runtime", "threads", "pins_threads", "path")
    return [dict(zip(names, (*way[:3], way[3:] == (True,), path), strict=True)) for way in ways]


@pytest.mark.parametrize(
    "ways",
    [
        [("int8", "onnxruntime", 1), ("int8", "onnxruntime", 1)],  # twice the same
        [("int8", "onnxruntime", 2, True), ("int8", "onnxruntime", 2, True)],
        [("int8", "onnxruntime", 1), ("float32", "onnxruntime", 1), ("int8", "onnxruntime", 2)],  # not together
        [("int8", "onnxruntime", count) for count in range(1, CANDIDATES_MAX + 2)],
    ],
)
def test_candidates_that_nobody_could_tell_apart_or_order_are_refused(ways):
    document = as_document()
    document["candidates"] = list_candidates(*ways)
    assert_malformed(document)


def test_candidates_of_several_runtimes_and_threads_are_named_by_what_they_differ_in():
    document = as_document()
    ways = [("int8", "onnxruntime", 1), ("int8", "onnxruntime", 2), ("float32", "openvino", 2, True)]
    document["candidates"] = list_candidates(*ways)
    manifest = parse_manifest(json.dumps(document).encode())
    assert manifest.names == (
        "int8 onnxruntime 1 thread",
        "int8 onnxruntime 2 threads",
        "float32 openvino 2 pinned threads",
    )
    assert manifest.runtimes == ("onnxruntime", "openvino")
    assert manifest.ways == (("onnxruntime", 1, False), ("onnxruntime", 2, False), ("openvino", 2, True))


@pytest.mark.parametrize("schema", [1, 2, SCHEMA + 1])
def test_a_manifest_of_another_schema_is_told_before_its_keys(schema):
    document = as_document()
    document["schema"] = schema
    document["golden"]["labels"] = "golden/labels.npy"  # a key of schema 2
    message = assert_malformed(document)
    assert f"expected {SCHEMA}, found {schema}" in message
    assert "deploy the model again" in message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"schema": 1, "schema": 1}',
        b'{"threads": NaN}',
        b'{"threads": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bytes_that_are_not_strict_json_of_an_object_are_refused(data):
    assert_malformed(data)


def test_an_infinite_number_is_refused():
    data = encode_manifest(make_manifest()).replace(b'"reference": 0.9', b'"reference": 1e999')
    assert b"1e999" in data
    assert_malformed(data)


def test_the_bundle_id_is_the_sha256_of_the_file(tmp_path):
    data = encode_manifest(make_manifest())
    (tmp_path / "manifest.json").write_bytes(data)
    assert read_manifest(tmp_path) == (make_manifest(), compute_bundle_id(data))
    assert compute_bundle_id(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        read_manifest(tmp_path / "none")
    assert caught.value.code == ExitCode.USAGE


def test_a_manifest_that_is_missing_or_a_link_is_refused(tmp_path):
    for make in (lambda: None, lambda: (tmp_path / "manifest.json").symlink_to("/etc/hostname")):
        make()
        with pytest.raises(ToolchainError) as caught:
            read_manifest(tmp_path)
        assert caught.value.code == ExitCode.MALFORMED


def test_a_manifest_of_absurd_size_is_not_read(tmp_path):
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(MANIFEST_SIZE_BYTES_MAX + 1)
    with pytest.raises(ToolchainError) as caught:
        read_manifest(tmp_path)
    assert caught.value.code == ExitCode.MALFORMED

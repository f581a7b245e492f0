import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.decode import decode, parse_json
from toolchain.agent.errors import ExitCode, ToolchainError


@dataclass(frozen=True)
class Inner:
    size_bytes: int
    share: float


@dataclass(frozen=True)
class Outer:
    name: str
    is_signed: bool
    inner: Inner | None
    parts: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    rest: object


GOOD = {
    "name": "a",
    "is_signed": True,
    "inner": None,
    "parts": [{"size_bytes": 1, "share": 0.5}],
    "by_name": {"x": {"size_bytes": 2, "share": 1}},
    "rest": [1, "a", None],
}


def refuse(document):
    with pytest.raises(ToolchainError) as caught:
        decode(Outer, document, "file")
    assert caught.value.code == ExitCode.MALFORMED
    return caught.value


def test_a_document_becomes_the_records_that_the_types_say():
    read = decode(Outer, GOOD, "file")
    assert read.parts == (Inner(size_bytes=1, share=0.5),)
    assert read.by_name == {"x": Inner(size_bytes=2, share=1.0)}
    assert (read.inner, read.rest) == (None, [1, "a", None])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": 1}, "file.name"),
        ({"is_signed": 1}, "file.is_signed"),
        ({"parts": {}}, "file.parts"),
        ({"parts": [{"size_bytes": True, "share": 0.5}]}, "file.parts[0].size_bytes"),
        ({"parts": [{"size_bytes": 1.0, "share": 0.5}]}, "file.parts[0].size_bytes"),
        ({"parts": [{"size_bytes": 2**63, "share": 0.5}]}, "file.parts[0].size_bytes"),
        ({"parts": [{"size_bytes": 1, "share": 10**400}]}, "file.parts[0].share"),
        ({"parts": [{"size_bytes": 1, "share": float("nan")}]}, "file.parts[0].share"),
        ({"by_name": {"x": []}}, "file.by_name.x"),
        ({"inner": "none"}, "file.inner"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(change, where):
    assert refuse({**GOOD, **change}).where == where


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_key_is_refused(name):
    assert repr(name) in refuse({key: value for key, value in GOOD.items() if key != name}).expected


def test_an_unknown_key_is_refused():
    assert "'more'" in refuse({**GOOD, "more": 1}).found


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_what_was_written_is_read_back(size_bytes, share):
    record = Inner(size_bytes=size_bytes, share=share)
    assert decode(Inner, parse_json(json.dumps(asdict(record)).encode(), "file"), "file") == record


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"\xff", b'{"a": 1, "a": 2}', b"NaN", b"-Infinity", b'"\\ud800"', b"[" * 5000, b"9" * 5000),
        *(b"[" * 33 + b"0" + b"]" * 33, b'{"a":' * 33 + b"0" + b"}" * 33),
        *(b"9" * 65, b"0." + b"9" * 63, b"1e" + b"9" * 63),
        *(b"1e400", b'{"a": [-1e400]}'),
    ],
    ids=[
        *("nothing", "cut", "no UTF-8", "a key twice", "NaN", "infinity", "half a letter", "too deep", "too long"),
        *("33 lists", "33 objects", "65 digits", "65 characters", "a power of 65"),
        *("over the largest float", "under the smallest float"),
    ],
)
def test_what_is_no_strict_json_is_refused(data):
    with pytest.raises(ToolchainError) as caught:
        parse_json(data, "file")
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, "file")


def test_whole_surrogate_pairs_are_text():
    assert parse_json(b'"\\ud834\\udd1e"', "file") == "\U0001d11e"


@pytest.mark.parametrize("data", [b"[" * 32 + b"0" + b"]" * 32, b"-" + b"9" * 63, b"0." + b"9" * 62])
def test_what_is_at_the_limit_is_read(data):
    assert parse_json(data, "file") == json.loads(data)


def test_a_message_does_not_repeat_what_is_endless():
    for document in ({**GOOD, "x" * 100_000: 1}, {**GOOD, "name": ["x" * 10**7] * 100}):
        assert len(str(refuse(document))) < 1000

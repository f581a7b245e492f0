"""JSON that is read item by item, and never more of it than one item."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.data import json_stream
from toolchain.data.json_stream import stream_items
from toolchain.errors import ExitCode, ToolchainError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(stream_items(path))


def refuse(path, text):
    with pytest.raises(ToolchainError) as caught:
        read(path, text)
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, str(path))
    return caught.value


@settings(max_examples=60)
@given(
    document=st.dictionaries(st.text(max_size=3), st.lists(VALUES, max_size=4) | SCALARS, max_size=4),
    indent=st.sampled_from([None, 1]),
    is_ascii=st.booleans(),
    chunk=st.sampled_from([1, 2, 7, 1 << 18]),
)
def test_items_are_those_of_json_wherever_chunks_end(tmp_path_factory, document, indent, is_ascii, chunk):
    path = tmp_path_factory.mktemp("json") / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        found = read(path, json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"))
    expected = [
        (key, n, item) for key, value in document.items() if isinstance(value, list) for n, item in enumerate(value)
    ]
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "[]", "1", '{"a": [1, 2', '{"a": [1 2]}', '{"a": [1,]}', '{"a" [1]}', "{a: 1}", '{"a": 1} x',
        '{"a": [], "a": []}', '{"a": [{"b": 1, "b": 2}]}', '{"a": 1,}', '{"a": nope}', "[" * 100_000,
        '{"a": ' + "[" * 100_000, '{"a": [' + '{"b":' * 100_000, '{"a": [' + "9" * 100_000 + "]}", '{"a": "' + "x" * 100,
        b'{"a": ["\xff"]}', b"\x00", b"\xff\xfe{\x00}\x00",
    ],
)  # fmt: skip
def test_what_is_no_such_json_is_refused_with_its_place(tmp_path, text):
    assert refuse(tmp_path / "a.json", text).found


def test_an_item_of_megabytes_is_refused_before_it_is_lists(tmp_path):
    path = tmp_path / "a.json"
    assert "characters" in refuse(path, '{"a": [[' + "[]," * 3_000_000 + "1]]}").found


def test_the_place_of_an_error_is_counted_over_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 8)
    text = '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, nope]}'
    assert refuse(tmp_path / "a.json", text).found == f"Expecting value at character {text.index('nope')}"


def test_what_python_writes_for_no_number_is_read(tmp_path):
    (found,) = read(tmp_path / "a.json", '{"a": [[NaN, Infinity]]}')
    assert str(found[2]) == "[nan, inf]"


def test_a_mark_of_byte_order_is_no_text(tmp_path):
    assert read(tmp_path / "a.json", b'\xef\xbb\xbf{"a": [1]}') == [("a", 0, 1)]


def test_a_file_that_is_not_there_is_exit_3(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        list(stream_items(tmp_path / "none.json"))
    assert caught.value.code is ExitCode.MISSING

import os
from typing import Literal

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.toml_file import Section, check_table, read_toml


class Inner(Section):
    width: int


class Table(Section):
    inner: Inner
    kind: Literal["a", "b"] = "a"
    scale: float = 1.0


def refuse(document):
    with pytest.raises(ToolchainError) as caught:
        check_table(Table, document, what="the table", where="file.toml")
    assert caught.value.code == ExitCode.USAGE
    return caught.value


def test_a_file_is_read_as_its_tables(tmp_path):
    (tmp_path / "file.toml").write_text("[inner]\nwidth = 3\n")
    document = read_toml(tmp_path / "file.toml", "recipe")
    assert check_table(Table, document, what="the table", where="file.toml").inner.width == 3


PARTS = ".".join(["a"] * 50_000)
BAD = {
    "no TOML": b"[inner\n",
    "no text": b"\xff\xfe",
    "lists nested deeper than the parser follows": b"a = " + b"[" * 5000,
    "lists nested deeper than the limit": b"a = " + b"[" * 40 + b"]" * 40,
    "tables nested deeper than the limit": b"a.b.c.d.e.f.g.h = {a.b.c.d.e.f.g.h = {a.b.c.d.e.f.g.h = {a.b.c.d.e.f.g.h.i = 1}}}",
    "a number of 5000 digits": b"a = " + b"9" * 5000,
    "a number of 65 bits": b"a = 9223372036854775808",
    "a number of 500,000 hexadecimal digits": b"a = 0x" + b"f" * 500_000,
    "a key of 50,000 parts": f"{PARTS} = 1".encode(),
    "a table of 50,000 parts": f"[{PARTS}]".encode(),
    "a key of 50,000 parts inside of a table": f"a = {{{PARTS} = 1}}".encode(),
    "a key of 17 parts, with spaces and quotes": b'a = 1 # "\n' + b' . "b.c" . '.join([b"'d'"] * 9) + b" = 1",
    "a byte more than 512 KiB": b"#" * ((512 << 10) + 1),
    "the character NUL in a value": b'a = "b\\u0000c"',
    "the character NUL in a key": b'"b\\u0000c" = 1',
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_toml_or_beyond_its_limits_is_a_usage_error_that_names_the_file(tmp_path, data):
    (tmp_path / "file.toml").write_bytes(data)
    with pytest.raises(ToolchainError) as caught:
        read_toml(tmp_path / "file.toml", "recipe")
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, str(tmp_path / "file.toml"))
    assert len(str(caught.value)) < 1000


GOOD = {
    "512 KiB": b"a=1#" + b"#" * ((512 << 10) - 4),
    "lists of 31 levels": b"a = " + b"[" * 31 + b"]" * 31,
    "a number of 64 bits": b"a = -9223372036854775808",
    "a key of 16 parts": ".".join(["a"] * 16).encode() + b" = 1",
    "dots in texts and comments": b'a = """\n' + b"." * 50 + b'""" # ' + b"." * 50 + b"\n'" + b"." * 50 + b"' = 2",
    "dots of many numbers": b"a = [" + b"1.5, " * 50 + b"]",
    "a byte order mark, as editors on Windows write it": b"\xef\xbb\xbfa = 1",
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD.keys())
def test_what_is_within_the_limits_is_read(tmp_path, data):
    (tmp_path / "file.toml").write_bytes(data)
    assert "a" in read_toml(tmp_path / "file.toml", "recipe")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "file.toml")
    with pytest.raises(ToolchainError) as caught:
        read_toml(tmp_path / "file.toml", "recipe")
    assert (caught.value.code, caught.value.found) == (ExitCode.USAGE, "it is a pipe, and no file")


def test_an_unknown_key_is_told_with_the_nearest_one_of_its_own_table():
    error = refuse({"inner": {"width": 3, "widht": 3}})
    assert (error.where, error.expected, error.fix) == ("file.toml: inner.widht", "one of width", "write width")


def test_an_unknown_key_like_no_other_is_to_be_removed():
    assert refuse({"inner": {"width": 3}, "zzz": 1}).fix == "remove it"


def test_a_missing_key_is_named():
    assert refuse({"inner": {}}).expected == "inner.width"


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(scale):
    assert refuse({"inner": {"width": 3}, "scale": scale}).expected == "a finite number"


def test_a_whole_number_written_as_text_is_refused():
    assert refuse({"inner": {"width": "3"}}).found == "'3'"

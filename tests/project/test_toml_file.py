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


@pytest.mark.parametrize(
    "data",
    [b"[inner\n", b"\xff\xfe", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000],
    ids=["no TOML", "no text", "nested too deep", "a number of 5000 digits"],
)
def test_what_is_no_toml_is_a_usage_error_that_names_the_file(tmp_path, data):
    (tmp_path / "file.toml").write_bytes(data)
    with pytest.raises(ToolchainError) as caught:
        read_toml(tmp_path / "file.toml", "recipe")
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, str(tmp_path / "file.toml"))


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

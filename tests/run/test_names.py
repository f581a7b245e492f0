import os
from pathlib import Path

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.names import check_path, is_utf8, show_name


def test_a_name_of_other_bytes_is_told_and_shown():
    name = os.fsdecode(b"caf\xe9.png")
    assert not is_utf8(name)
    assert show_name(name) == show_name(Path(name)) == "caf\\xe9.png"


def test_a_name_in_utf_8_is_shown_as_it_is():
    assert is_utf8("café \U0001f600.png")
    assert show_name("café.png") == "café.png"


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xe9/a", b"a/\xff"])
def test_a_path_of_other_bytes_anywhere_is_refused(name):
    with pytest.raises(ToolchainError) as caught:
        check_path(Path(os.fsdecode(name)), "a picture")
    assert caught.value.code is ExitCode.USAGE
    assert is_utf8(str(caught.value))
    assert check_path(Path("café/a"), "a picture") == Path("café/a")

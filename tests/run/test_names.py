import os
from pathlib import Path

from toolchain.run.names import is_utf8, show_name


def test_a_name_of_other_bytes_is_told_and_shown():
    name = os.fsdecode(b"caf\xe9.png")
    assert not is_utf8(name)
    assert show_name(name) == show_name(Path(name)) == "caf\\xe9.png"


def test_a_name_in_utf_8_is_shown_as_it_is():
    assert is_utf8("café \U0001f600.png")
    assert show_name("café.png") == "café.png"

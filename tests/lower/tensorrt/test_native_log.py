import os

import pytest

from toolchain.lower.tensorrt.native_log import keep_native_log

LOG = b"""[11/24/2026-09:52:55] [TRT] [W] only a warning
[11/24/2026-09:52:55] [TRT] [E] ModelImporter.cpp:140: While parsing node number 33
--- Begin node ---
[11/24/2026-09:52:55] [TRT] [E] Error Code 10: no implementation
"""


def test_what_a_library_prints_is_kept_and_its_errors_are_told(capfd):
    with keep_native_log() as log:
        assert log.read_errors() == []
        os.write(1, LOG)
        assert log.read_errors() == [
            "ModelImporter.cpp:140: While parsing node number 33",
            "Error Code 10: no implementation",
        ]
    os.write(1, b"the result\n")
    assert capfd.readouterr() == ("the result\n", "")


def test_standard_output_comes_back_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), keep_native_log():
        os.write(1, LOG[: 1 // 0])
    os.write(1, b"the result\n")
    assert capfd.readouterr() == ("the result\n", "")

"""The error that every part raises, and the one list of errors of the system that are exit 14."""

import errno
import os
from pathlib import Path

import pytest

import toolchain
from toolchain.agent.errors import ExitCode, ToolchainError, is_storage_error

PACKAGE = Path(toolchain.__file__).parent


def test_the_parts_of_an_error_have_names_and_no_places():
    assert "expected this, found that" in str(ToolchainError(ExitCode.USAGE, "wrong", expected="this", found="that"))
    with pytest.raises(TypeError):
        ToolchainError(ExitCode.USAGE, "wrong", "here", "this", "that")


@pytest.mark.parametrize(
    "number",
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
        *(errno.EEXIST, errno.ENOTDIR),
    ],
    ids=errno.errorcode.get,
)
def test_a_disk_that_takes_nothing_is_a_storage_error(number):
    assert is_storage_error(OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files"), OSError("no number"), TimeoutError(), ValueError()],
    ids=repr,
)
def test_other_errors_are_none(error):
    assert not is_storage_error(error)


def test_no_other_module_has_a_list_of_its_own():
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name in path.read_text() for name in ("ENOSPC", "EROFS", "EDQUOT"))
    }
    assert named == {"agent/errors.py"}


def test_a_message_has_the_lines_of_its_layout_alone():
    hostile = "x\nPASS  resnet8\x1b[2K\u202e"
    error = ToolchainError(ExitCode.USAGE, hostile, where=hostile, expected=hostile, found=hostile, fix=hostile)
    shown = r"x\nPASS  resnet8\x1b[2K\u202e"
    lines = [f"usage: {shown}", f"  {shown}: expected {shown}, found {shown}", f"  fix: {shown}"]
    assert str(error).split("\n") == lines


def test_the_fields_of_an_error_keep_their_values():
    assert ToolchainError(ExitCode.USAGE, "wrong", found="\x1b").to_dict()["found"] == "\x1b"

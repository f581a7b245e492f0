"""One list says which errors of the system are exit 14, for boards and the host."""

import errno
import os
from pathlib import Path

import pytest

import toolchain
from toolchain.agent.errors import is_storage_error

PACKAGE = Path(toolchain.__file__).parent


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

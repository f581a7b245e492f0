"""Files of others, opened so that they neither hang nor fill the memory: regular ones, up to a size."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a file to read it; raises OSError, whose strerror says what it is, for a pipe, device, socket or folder.

    follow: whether the path may be a link.
    """
    # Without O_NONBLOCK, to open a pipe waits until somebody writes into it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, and no file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, *, size_max: int, follow: bool = True) -> bytes:
    """Return the content of a regular file; raises OSError as open_regular does, and for one of more bytes."""
    with open_regular(path, follow=follow) as file:
        content = file.read(size_max + 1)
    if len(content) > size_max:
        raise OSError(errno.EFBIG, f"it has more than {size_max:,} bytes", str(path))
    return content

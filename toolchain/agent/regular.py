"""Opens regular files and nothing else: no link is followed, and no pipe or device waited for."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Iterator, Optional, Tuple, Union

_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class NotRegularError(OSError):
    """Something else than a regular file is at a place; `strerror` says what."""


def describe_kind(mode: int) -> str:
    """Return what a st_mode is that of, such as "a link"."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a regular file")


def open_regular(
    path: Union[str, Path], flags: int = os.O_RDONLY, mode: int = 0o600, *, folder: Optional[int] = None
) -> int:
    """Return the descriptor of a regular file, relative to the descriptor of a folder, of whose folders none is a link.

    Nothing is truncated, whatever the flags: raises NotRegularError before, and OSError as open(2) does.
    """
    with _open_parent(str(path), folder) as (parent, name):
        with contextlib.suppress(FileNotFoundError):  # looked at first: to open a device may do something
            _check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode, path)
        try:
            descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=parent)
        except OSError as error:
            error.filename = str(path)
            raise
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
    except NotRegularError:
        os.close(descriptor)
        raise
    return descriptor


def open_regular_file(path: Union[str, Path], *, folder: Optional[int] = None) -> BinaryIO:
    """Return a regular file that is open for reading; see open_regular."""
    return os.fdopen(open_regular(path, folder=folder), "rb")


def read_regular(path: Union[str, Path], size_bytes_max: int, *, folder: Optional[int] = None) -> bytes:
    """Return what a regular file has; raises OSError as open_regular, and (EFBIG) where that is more than the limit."""
    with open_regular_file(path, folder=folder) as file:
        data = file.read(size_bytes_max + 1)
    if len(data) > size_bytes_max:
        raise OSError(errno.EFBIG, f"more than {size_bytes_max} bytes", str(path))
    return data


def _check_regular(mode: int, path: Union[str, Path]) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegularError(errno.EINVAL, describe_kind(mode), str(path))


@contextlib.contextmanager
def open_folder(path: Union[str, Path], folder: Optional[int] = None) -> Iterator[int]:
    """Hold a folder open by its descriptor; below the descriptor of another one no link on the way is followed."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = os.open(str(path), os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
        else:
            for part in PurePosixPath(path).parts:
                folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                stack.callback(os.close, folder)
        yield folder


@contextlib.contextmanager
def _open_parent(path: str, folder: Optional[int]) -> Iterator[Tuple[Optional[int], str]]:
    # Without a folder the path is its caller's own, links and all.
    if folder is None:
        yield None, path
        return
    with open_folder(str(PurePosixPath(path).parent), folder) as parent:
        yield parent, PurePosixPath(path).name

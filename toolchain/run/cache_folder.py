"""The folder of the cache: whose it is, which commands use it now, and the locks in it."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from toolchain.errors import usage
from toolchain.run.tree import remove

_RUNNING = "running"


def open_root(root: Path) -> None:
    """Make the folder of the cache where there is none.

    Raises ToolchainError (exit 2) where another user owns it or may write into it: a result that lies there is taken for
    our own, goes into what is shipped, and is signed.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.stat()
    if status.st_uid != os.geteuid():
        raise usage(
            "the cache is another user's",
            where=str(root),
            expected=f"a folder of {_name_user(os.geteuid())}",
            found=f"one of {_name_user(status.st_uid)}",
            fix="set TOOLCHAIN_CACHE to a folder of your own; each user has a cache of their own",
        )
    writable = stat.S_IWOTH if _is_private(status.st_gid) else stat.S_IWOTH | stat.S_IWGRP
    if status.st_mode & writable:
        raise usage(
            "others may write into the cache",
            where=str(root),
            expected="a folder that you alone may write into",
            found=stat.filemode(status.st_mode),
            fix=f"remove {root} if others wrote into it, or else: chmod go-w {root}; or set TOOLCHAIN_CACHE to another folder",
        )


def open_stage(folder: Path) -> None:
    """Make the folder of a stage's results where there is none; a link or a file of its name goes."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        remove(folder)
    folder.mkdir(mode=0o700, exist_ok=True)


def lock_entry(folder: Path, *, timeout_s: float = -1) -> FileLock:
    """Return the lock that an entry's builder or remover holds; the system frees it when the process ends, however it ends.

    Its file may be removed by who holds it: who waits for it sees that (filelock, of 4.2 for certain, looks at the number of its names).
    """
    path = find_lock(folder)
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            remove(path)
    return FileLock(path, timeout=timeout_s)


def find_lock(folder: Path) -> Path:
    """Return the file of an entry's lock."""
    return folder.with_name(f"{folder.name}.lock")


def mark_running(root: Path) -> int:
    """Return the open descriptor of a file that says since when a command uses the cache, as long as it is open.

    What a command uses it has used since then, so that nothing of it is removed meanwhile (find_first_start_ns).
    """
    folder = root / _RUNNING
    open_stage(folder)
    find_first_start_ns(root)  # removes what commands that ended have left
    while True:
        descriptor = os.open(
            folder / secrets.token_hex(8), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another command takes it for one that has ended
            os.close(descriptor)
            continue
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def find_first_start_ns(root: Path) -> int | None:
    """Return when the first of the commands that run now began to use the cache (st_mtime_ns); None where none does."""
    starts = []
    for path in (root / _RUNNING).glob("*"):
        with suppress(OSError):  # gone meanwhile, or no file
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                start_ns = os.fstat(descriptor).st_mtime_ns
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                starts.append(start_ns)
            finally:
                os.close(descriptor)
    return min(starts, default=None)


def _is_private(group: int) -> bool:
    """Return whether a group is its user's alone, as Debian and Fedora make one for each: its name, and no other member."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # of a container that has no such user
        return False
    return group == user.pw_gid and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def _name_user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"user {number}"

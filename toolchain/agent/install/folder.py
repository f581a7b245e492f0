"""A folder of the board, held open: what it has is opened relative to it, if nobody else could have put it there."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Iterator, List, Optional

from ..durable import link_at, sync_path, write_at
from ..errors import ExitCode, ToolchainError
from ..ownership import find_fault, is_writable_by_others, list_owners, name_user
from ..regular import NotRegularError, describe_kind, open_regular

_MODE = 0o755
# The largest record is a verdict, with a line for each shared library of a runtime: some 20 kB.
_RECORD_BYTES_MAX = 16 << 20


class Folder:
    """A board's ROOT, or a folder in it; opened, and looked at, when it is first needed.

    Whoever only reads may be another user than the one who deploys: an application asks as itself.
    Every method raises ToolchainError (exit 14) where the folder is a link, of another user, or others can change it.
    """

    def __init__(self, path: Path, *, within: Optional[Folder] = None) -> None:
        self.path = path
        self._within = within
        self._descriptor: Optional[int] = None

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    @property
    def descriptor(self) -> int:
        """The descriptor; raises FileNotFoundError where there is no such folder."""
        if self._descriptor is None:
            self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        if self._within is None:
            fault = find_fault(str(self.path), list_owners() | {self.path.stat().st_uid})
            if fault:
                raise _refuse_folder(*fault)
            return os.open(str(self.path), os.O_RDONLY | os.O_DIRECTORY)
        parent = self._within.descriptor
        status = os.stat(self.path.name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            fix = f"look at what it is, and move it away: mv {self.path} {self.path}.odd"
            raise _refuse_folder(str(self.path), "a folder", describe_kind(status.st_mode), fix)
        descriptor = os.open(self.path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            self._within.check_owner(os.fstat(descriptor), self.path, ExitCode.STORAGE)
        except ToolchainError:
            os.close(descriptor)
            raise
        return descriptor

    def create(self) -> None:
        """Make the folder, and those above it, where they are not there.

        Raises ToolchainError (exit 14) as every method, and for a ROOT that is another user's.
        """
        if self._within is None:
            fault = find_fault(str(self.path), list_owners())
            if fault:
                raise _refuse_folder(*fault)
        for folder in (*reversed(self.path.parents), self.path):
            if not os.path.lexists(str(folder)):
                folder.mkdir(mode=_MODE, exist_ok=True)
                sync_path(folder.parent)
        if self._within is None and not self.path.is_dir():
            raise _refuse_folder(str(self.path), "a folder", "none", f"move it away: mv {self.path} {self.path}.odd")
        os.fstat(self.descriptor)

    def check_owner(self, status: os.stat_result, path: Path, code: ExitCode) -> None:
        """Refuse what in this folder is of somebody who may not change it, or may be changed by others."""
        owners = list_owners() | {os.fstat(self.descriptor).st_uid}
        if status.st_uid in owners and not is_writable_by_others(status, owners):
            return
        found = f"one of {name_user(status.st_uid)}, mode {stat.S_IMODE(status.st_mode):04o}"
        expected = f"one of {' or '.join(name_user(number) for number in sorted(owners))}, which nobody else can change"
        fix = f"look at what it has, and who put it there; then: chmod go-w {path}, or move it away"
        what = "others can change what lies on the board"
        raise ToolchainError(code, what, where=str(path), expected=expected, found=found, fix=fix)

    def open(self, name: str, flags: int, mode: int = 0o644, *, code: ExitCode = ExitCode.STORAGE) -> int:
        """Return the descriptor of a regular file; one that is written must have no second name, such as a hard link.

        Raises ToolchainError (exit 14, or `code`) for anything else in its place, OSError as open(2) does.
        """
        path = self.path / name
        is_written = flags & (os.O_WRONLY | os.O_RDWR)
        try:
            descriptor = open_regular(name, flags, mode, folder=self.descriptor)
        except NotRegularError as error:
            raise _refuse_file(path, str(error.strerror), code) from error
        except OSError as error:
            error.filename = str(path)
            raise
        status = os.fstat(descriptor)
        try:
            self.check_owner(status, path, code)
            if is_written and status.st_nlink != 1:
                raise _refuse_file(path, f"a file with {status.st_nlink} names", code)
        except ToolchainError:
            os.close(descriptor)
            raise
        return descriptor

    def read(self, name: str) -> Optional[bytes]:
        """Return what a record has, None where there is none; raises ToolchainError (exit 23) for no file of ours."""
        try:
            descriptor = self.open(name, os.O_RDONLY, code=ExitCode.MALFORMED)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(_RECORD_BYTES_MAX + 1)
        if len(data) > _RECORD_BYTES_MAX:
            raise _refuse_file(self.path / name, f"more than {_RECORD_BYTES_MAX} bytes", ExitCode.MALFORMED)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replace a file in one step, whatever is in its place."""
        with self._name_path(name):
            write_at(self.descriptor, name, data)

    def read_link(self, name: str) -> Optional[str]:
        """Return where a link leads; "no link" for anything else, None where there is nothing."""
        try:
            mode = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        return os.readlink(name, dir_fd=self.descriptor) if stat.S_ISLNK(mode) else "no link"

    def write_link(self, name: str, target: str) -> None:
        """Point a link to another target in one step."""
        with self._name_path(name):
            link_at(self.descriptor, name, target)

    def is_folder(self, name: str) -> bool:
        """Return whether there is a folder of this name, and not a link to one."""
        try:
            return stat.S_ISDIR(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def open_folder(self, name: str) -> int:
        """Return the descriptor of a folder in it, which is no link."""
        with self._name_path(name):
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.descriptor)

    def list_names(self) -> List[str]:
        """Return what is in it, sorted; nothing where it is not there."""
        try:
            return sorted(os.listdir(self.descriptor))  # noqa: PTH208 - pathlib knows no descriptors
        except FileNotFoundError:
            return []

    def rename(self, name: str, other: str) -> None:
        """Give a file another name, over what has that name, and write that to the disk."""
        with self._name_path(name):
            os.replace(name, other, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            os.fsync(self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file or a link, if it is there."""
        with self._name_path(name), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    @contextlib.contextmanager
    def _name_path(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = str(self.path / name)
            raise


def _refuse_folder(where: str, expected: str, found: str, fix: str) -> ToolchainError:
    what = "others than its owner could change the board's folder"
    return ToolchainError(ExitCode.STORAGE, what, where=where, expected=expected, found=found, fix=fix)


def _refuse_file(path: Path, found: str, code: ExitCode) -> ToolchainError:
    what, fix = (
        "what lies on the board is no file of ours",
        f"look at what it is, and move it away: mv {path} {path}.odd",
    )
    expected = "a regular file with one name"
    return ToolchainError(code, what, where=str(path), expected=expected, found=found, fix=fix)

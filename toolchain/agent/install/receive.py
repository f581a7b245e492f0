"""Fills a staged bundle: from what an interrupted upload left, from other releases by hash, and from the host."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

from ..bundle_files import FileEntry
from ..contents import compute_sha256
from ..durable import remove_tree
from ..errors import ExitCode, ToolchainError
from ..manifest import read_manifest
from .channel import Channel

# What an interrupted upload left is trusted up to a multiple of this, because so much was written to the disk at a time:
# after a power cut the rest may be of the right length and full of zeros.
SYNCED_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 1 << 20
_FILE_MODE = 0o644
# What releases for one data set have in common lies on the disk once, under a name in each. Of the rest each has its own
# copy: runtimes refuse links to the files of a model (onnx 1.21), and what runs must not become damaged in two places.
_SHARED_FOLDER = "golden/"

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WantedFile:
    """A file that the host is to send, from `offset` on."""

    path: str
    size_bytes: int
    sha256: str
    offset: int


def _keep_start(path: Path, entry: FileEntry) -> int:
    """Return how many bytes of a file of an interrupted upload are good; what is not is removed."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    # A file with a second name is that of a release too: to write into it would change what is proven. It is linked anew.
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        if status.st_size == entry.size_bytes and compute_sha256(path) == entry.sha256:
            return entry.size_bytes
        if status.st_size < entry.size_bytes:
            offset = status.st_size // SYNCED_BYTES * SYNCED_BYTES
            os.truncate(str(path), offset)
            return offset
    remove_tree(path)
    return 0


def _remove_odd_folders(folder: Path, entry: FileEntry) -> None:
    # A file, link or device where the bundle has a folder: writing through it would leave the staging.
    for part in Path(entry.path).parent.parts:
        folder = folder / part
        if os.path.lexists(str(folder)) and not stat.S_ISDIR(folder.lstat().st_mode):
            remove_tree(folder)


def list_wanted(folder: Path, entries: Sequence[FileEntry]) -> List[WantedFile]:
    """Return the files that a staged bundle lacks, with where each is to go on; a file of 0 bytes is wanted too."""
    wanted = []
    for entry in entries:
        _remove_odd_folders(folder, entry)
        path = folder / entry.path
        offset = _keep_start(path, entry)
        if offset < entry.size_bytes or not path.is_file():
            wanted.append(WantedFile(**asdict(entry), offset=offset))
    return wanted


def check_space(folder: Path, wanted: Sequence[WantedFile]) -> None:
    """Refuse (exit 14) what does not fit onto the disk, before it is sent."""
    disk = os.statvfs(str(folder))
    # As much again of a block for every file, and 1 MiB for folders, links, the log and the state.
    needed = sum(item.size_bytes - item.offset + disk.f_frsize for item in wanted) + (1 << 20)
    free = disk.f_bavail * disk.f_frsize
    fix = f"free some space on the board's disk at {folder}"
    if needed > free:
        what = "the board's disk has no space for this bundle"
        raise ToolchainError(
            ExitCode.STORAGE, what, where=str(folder), expected=f"{needed} bytes", found=f"{free} bytes free", fix=fix
        )
    folders = {parent for item in wanted for parent in Path(item.path).parents}
    nodes = len(wanted) + len(folders)
    # Some file systems have no fixed number of inodes, and say 0 of 0.
    if disk.f_files and nodes > disk.f_favail:
        what = "the board's disk has no inodes left for this bundle"
        raise ToolchainError(
            ExitCode.STORAGE,
            what,
            where=str(folder),
            expected=f"{nodes} inodes",
            found=f"{disk.f_favail} free",
            fix=fix,
        )


def _index_releases(releases: Iterable[Path]) -> Dict[str, Path]:
    paths = {}
    for release in releases:
        try:
            manifest, _ = read_manifest(release)
        except ToolchainError:  # a release that is damaged has nothing to give
            continue
        paths.update({entry.sha256: release / entry.path for entry in manifest.files})
    return paths


def _find_source(item: WantedFile, index: Dict[str, Path]) -> Optional[Path]:
    """Return the file of a release that should be what is wanted; None where it is to come from the host."""
    source = index.get(item.sha256)
    if item.offset or source is None or source.is_symlink() or not source.is_file():
        return None
    return source if source.stat().st_size == item.size_bytes else None


def list_stored(wanted: Sequence[WantedFile], releases: Iterable[Path]) -> List[WantedFile]:
    """Return the wanted files that need space of their own: all but those that a release shares."""
    index = _index_releases(releases)
    return [item for item in wanted if not _is_shared(item) or _find_source(item, index) is None]


def _is_shared(item: WantedFile) -> bool:
    return item.path.startswith(_SHARED_FOLDER)


def _has_sha256(path: Path, sha256: str, on_block: Callable[[], None]) -> bool:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
            on_block()
    return digest.hexdigest() == sha256


def _link_file(source: Path, target: Path, sha256: str, on_block: Callable[[], None]) -> bool:
    """Give a file that really has this hash a second name; return whether it has it now."""
    if not _has_sha256(source, sha256, on_block):
        return False
    try:
        os.link(str(source), str(target), follow_symlinks=False)
    except OSError:  # a file system without hard links; where the disk takes nothing at all, the copy says so
        return False
    return True


def _copy_file(source: Path, target: Path, temporary: Path, sha256: str, on_block: Callable[[], None]) -> bool:
    """Copy a file if it really has this hash; return whether it had. Until it is whole it has no name in the bundle."""
    digest = hashlib.sha256()
    with source.open("rb") as original, temporary.open("wb") as copy:
        for block in iter(lambda: original.read(_BLOCK_BYTES), b""):
            digest.update(block)
            copy.write(block)
            on_block()
        copy.flush()
        os.fdatasync(copy.fileno())
    if digest.hexdigest() != sha256:
        return False
    temporary.replace(target)
    return True


def take_from_releases(
    folder: Path, wanted: Sequence[WantedFile], releases: Iterable[Path], on_block: Callable[[], None]
) -> List[WantedFile]:
    """Take the wanted files that another release has with the same hash; return those that it has not.

    They are linked or copied, see _SHARED_FOLDER, after their bytes were hashed. A file that has begun to come from the host
    goes on from there. on_block is called for progress.
    """
    index = _index_releases(releases)
    left = []
    for item in wanted:
        source = _find_source(item, index)
        if source is None:
            left.append(item)
            continue
        path = folder / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        is_taken = _is_shared(item) and _link_file(source, path, item.sha256, on_block)
        if not is_taken and not _copy_file(source, path, folder.parent / "copy", item.sha256, on_block):
            left.append(item)
    return left


def receive_files(folder: Path, wanted: Sequence[WantedFile], channel: Channel, on_progress: OnProgress) -> None:
    """Write the wanted files as they come, in order; nothing but a block is ever in memory.

    Raises ToolchainError (exit 15) where the connection ends before; what came stays, to go on with.
    """
    total = sum(item.size_bytes - item.offset for item in wanted)
    done = 0
    for item in wanted:
        path = folder / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, _FILE_MODE)
        try:
            os.lseek(descriptor, item.offset, os.SEEK_SET)
            unsynced = 0
            for block in channel.read_blocks(item.size_bytes - item.offset):
                view = memoryview(block)
                while view:
                    view = view[os.write(descriptor, view) :]
                unsynced += len(block)
                done += len(block)
                if unsynced >= SYNCED_BYTES:
                    os.fdatasync(descriptor)
                    unsynced = 0
                    on_progress("receive", done, total)
        finally:
            os.close(descriptor)
    if total:
        on_progress("receive", total, total)


def describe_wanted(wanted: Sequence[WantedFile]) -> Dict[str, Any]:
    """Return the line that asks the host for files."""
    return {"wanted": [asdict(item) for item in wanted]}

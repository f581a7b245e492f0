"""A disk of its own, whose power can be cut: what was not written to it by then is lost.

An ext4 file system on a loop device over a file. The file holds what reached the disk and nothing of what the kernel
still keeps in memory; a copy of it, taken at one instant, is the disk after a power cut at that instant.
"""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

SIZE_MB = 24
_QUIET_LIMIT_S = 10.0
_NEIGHBOUR_PAUSE_S = 0.005


def _run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout.strip()


def make_disk(image: Path, folder: Path) -> None:
    """Make a disk that holds a copy of a folder's content."""
    with image.open("wb") as file:
        file.truncate(SIZE_MB << 20)
    _run("mkfs.ext4", "-q", "-d", folder, image)


class Disk:
    """A mounted disk image; leaving it detaches it, whatever the kernel still had to write."""

    def __init__(self, image: Path, mountpoint: Path) -> None:
        self.image = image
        self.folder = mountpoint
        self._device = ""

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        self._device = _run("losetup", "--find", "--show", self.image)
        try:
            # data=writeback: names and sizes may reach the disk before the bytes, as on file systems less kind than ext4.
            _run("mount", "-t", "ext4", "-o", "data=writeback", self._device, self.folder)
        except BaseException:
            _run("losetup", "--detach", self._device)
            raise
        return self

    def __exit__(self, *_):
        _run("umount", "--lazy", self.folder)
        _run("losetup", "--detach", self._device)

    @contextlib.contextmanager
    def busy(self):
        """Let another program of the board sync a file of its own all the time.

        Each time the journal goes to the disk, and with it the names that others have changed by then: without this,
        nothing of a short deploy that syncs nothing reaches the disk, and the cut finds the old state by luck.
        """
        is_over = threading.Event()

        def sync_often():
            with (self.folder / "neighbour").open("wb") as file:
                while not is_over.wait(_NEIGHBOUR_PAUSE_S):
                    file.write(b"x")
                    file.flush()
                    os.fsync(file.fileno())

        neighbour = threading.Thread(target=sync_often)
        neighbour.start()
        try:
            yield
        finally:
            is_over.set()
            neighbour.join()

    def cut_power(self, copy: Path) -> None:
        """Write the disk's content of one instant to another image: taken again until nothing was written meanwhile."""
        deadline_s = time.monotonic() + _QUIET_LIMIT_S
        while True:
            before = self._count_writes()
            shutil.copyfile(self.image, copy)
            if self._count_writes() == before:
                return
            assert time.monotonic() < deadline_s, "the disk is never quiet for as long as a copy takes"

    def _count_writes(self):
        # Documentation/block/stat.rst: writes completed, sectors written; requests under way.
        fields = Path(f"/sys/block/{Path(self._device).name}/stat").read_text(encoding="ascii").split()
        return fields[4], fields[6], fields[8]

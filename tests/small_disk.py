"""A disk of a fixed size, for tests in which it is full, read-only or out of inodes."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder):
    """Give a function that mounts a disk of memory at the folder with some options; it goes with the block.

    The test is skipped where mounting is not allowed: it takes root.
    """
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk of a fixed size can be mounted here: {done.stderr.strip()}")
        return folder

    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)

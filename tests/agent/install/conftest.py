"""Boards on disks of their own."""

import shutil

import pytest

from tests.small_disk import small_disk


@pytest.fixture
def mount_board(board, tmp_path):
    """Return a function that moves the board to a small disk of its own; the disk goes with the test."""
    with small_disk(tmp_path / "disk") as mount_disk:

        def mount(options):
            disk = mount_disk(options)
            shutil.copytree(board.root, disk / "root", symlinks=True)
            board.root = disk / "root"
            return board

        yield mount

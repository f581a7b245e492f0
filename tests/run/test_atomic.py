import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.atomic import write_atomically


def test_a_full_disk_is_exit_14_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ToolchainError) as caught:
        write_atomically(path, b"new")
    assert caught.value.code is ExitCode.STORAGE
    assert str(path) in caught.value.what
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_exit_14(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ToolchainError) as caught:
        write_atomically(tmp_path / "taken" / "file", b"new")
    assert caught.value.code is ExitCode.STORAGE


def test_processes_that_write_one_file_at_once_each_write_it_whole(tmp_path):
    path = tmp_path / "file"
    texts = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(lambda text: write_atomically(path, text), texts))
    assert path.read_bytes() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_where_the_file_should_be_is_exit_14_and_stays(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(ToolchainError) as caught:
        write_atomically(tmp_path / "file", b"new")
    assert caught.value.code is ExitCode.STORAGE
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]

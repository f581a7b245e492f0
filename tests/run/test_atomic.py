import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.atomic import remove_with_partials, write_atomically


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


def test_a_file_goes_with_what_killed_writers_left_of_it_and_nothing_else_does(tmp_path):
    path = tmp_path / "report.json"
    kept = [".report.json.bak", f".report.json.{15 * 'a'}", f".report.jsonl.{16 * 'a'}", f".reportxjson.{16 * 'a'}"]
    for name in (path.name, f".report.json.{16 * 'a'}", *kept):
        (tmp_path / name).write_text("x")
    remove_with_partials(path)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(kept)
    remove_with_partials(path)  # one that is not there
    remove_with_partials(tmp_path / "nowhere" / "report.json")

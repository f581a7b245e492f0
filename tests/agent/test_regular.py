"""What is no regular file is not opened, not truncated, not waited for."""

import os
import socket

import pytest

from toolchain.agent.regular import NotRegularError, describe_kind, open_regular, open_regular_file, read_regular


def make_link(path):
    target = path.with_name("target")
    target.write_bytes(b"canary")
    path.symlink_to(target)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


KINDS = {
    "a link": make_link,
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a socket": make_socket,
}
FLAGS = {
    "to read": os.O_RDONLY,
    "to write": os.O_WRONLY | os.O_CREAT,
    "to truncate": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    "to append": os.O_RDWR | os.O_APPEND,
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_is_refused_by_name_and_left_as_it_was(tmp_path, kind, flags):
    KINDS[kind](tmp_path / "file")
    with pytest.raises(NotRegularError) as caught:
        open_regular(tmp_path / "file", FLAGS[flags])
    assert (caught.value.strerror, caught.value.filename) == (kind, str(tmp_path / "file"))
    assert describe_kind((tmp_path / "file").lstat().st_mode) == kind
    if kind == "a link":
        assert (tmp_path / "target").read_bytes() == b"canary"


@pytest.mark.parametrize("flags", FLAGS)
def test_a_file_is_opened(tmp_path, flags):
    (tmp_path / "file").write_bytes(b"data")
    os.close(open_regular(tmp_path / "file", FLAGS[flags]))
    assert read_regular(tmp_path / "file", 4) == (b"" if flags == "to truncate" else b"data")


def test_a_link_to_nothing_makes_nothing(tmp_path):
    (tmp_path / "file").symlink_to(tmp_path / "made")
    with pytest.raises(NotRegularError):
        open_regular(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("link", ["a", "a/b"])
def test_below_a_folder_no_link_is_followed_on_the_way(tmp_path, link):
    (tmp_path / "elsewhere/b").mkdir(parents=True)
    (tmp_path / "elsewhere/b/file").write_bytes(b"x")
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/file").write_bytes(b"own")
    folder = os.open(tmp_path / "root", os.O_RDONLY)
    try:
        assert read_regular("a/b/file", 3, folder=folder) == b"own"
        (tmp_path / "root" / link).rename(tmp_path / "moved")
        (tmp_path / "root" / link).symlink_to(tmp_path / "elsewhere" / link[2:])
        with pytest.raises(OSError, match=r"symbolic|directory"):
            read_regular("a/b/file", 3, folder=folder)
    finally:
        os.close(folder)


def test_more_than_was_allowed_is_not_read(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_regular(tmp_path / "file", 10)


@pytest.mark.parametrize("path", ["none", "/dev/zero"])
def test_nothing_and_a_device_are_told_by_their_path(tmp_path, path):
    with pytest.raises(OSError, match=path):
        open_regular_file(tmp_path / path)

import errno
import os
import socket

import pytest

from toolchain.run.regular_file import open_regular, read_regular


def make_folder(path):
    path.mkdir()


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_folder, os.mkfifo, make_socket, make_loop, lambda path: None])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(OSError, match="a"):
        open_regular(tmp_path / "a")


def test_a_device_is_refused():
    with pytest.raises(OSError, match="a device"):
        open_regular("/dev/zero")


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"12345678")
    assert read_regular(tmp_path / "a", size_max=8) == b"12345678"
    with pytest.raises(OSError, match="more than 7 bytes") as caught:
        read_regular(tmp_path / "a", size_max=7)
    assert caught.value.errno == errno.EFBIG


def test_a_link_is_followed_unless_it_must_not_be(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link", size_max=8) == b"content"
    with pytest.raises(OSError, match="symbolic"):
        read_regular(tmp_path / "link", size_max=8, follow=False)

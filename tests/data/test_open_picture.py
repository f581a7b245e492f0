"""Pictures opened within limits; which kinds are read, and how, is in test_read_image.py."""

import threading

import numpy as np
import pytest
from PIL import Image

from tests.data.test_read_image import write_header
from toolchain.data.open_picture import _Room, open_picture, read_size, turn_upright
from toolchain.errors import ExitCode, ToolchainError


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_the_size_is_that_of_the_picture_that_stands_upright(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(path, exif=exif)
    assert read_size(path) == ((20, 30) if orientation in (6, 8) else (30, 20))


def test_to_learn_the_size_nothing_is_decoded(tmp_path):
    write_header(tmp_path / "a.png", 90_000, 1)  # it has no pixels
    assert read_size(tmp_path / "a.png") == (90_000, 1)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_the_size_of_no_picture_is_exit_23(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ToolchainError) as caught:
        read_size(tmp_path / "a.png")
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, str(tmp_path / "a.png"))


@pytest.mark.parametrize("is_late", [False, True])
def test_a_picture_that_turns_after_its_size_was_asked_for_is_refused(tmp_path, is_late):
    """Its boxes would lie elsewhere than what is in them."""
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(path, exif=exif)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    if is_late:
        rest = data.replace(chunk, b"")
        path.write_bytes(rest[: rest.index(b"IEND") - 4] + chunk + rest[rest.index(b"IEND") - 4 :])
    with open_picture(path, lambda *_: (1, 1)) as stored:
        if is_late:
            with pytest.raises(ToolchainError, match="behind its pixels"):
                turn_upright(stored, path)
        else:
            assert turn_upright(stored, path).size == read_size(path) == (20, 30)


def test_large_pictures_are_decoded_one_after_another():
    room, most, held = _Room(10), [], []

    def decode(pixels):
        with room.take(pixels):
            held.append(pixels)
            most.append(sum(held))
            held.remove(pixels)

    threads = [threading.Thread(target=decode, args=(pixels,)) for pixels in (10, 6, 5, 10, 4) * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(most) == 100
    assert max(most) <= 10

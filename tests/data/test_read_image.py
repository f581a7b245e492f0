"""Pictures of every kind that cameras and tools write: read right, or refused by name."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from toolchain.data.read_image import read_image
from toolchain.errors import ExitCode, ToolchainError

# A multiple of the crop's 256/224, so that a picture of 8x8 is shown as it is where nothing is cut.
SIZE = 7

GREY = np.random.default_rng(3).integers(0, 256, (8, 8), dtype=np.uint8)
COLOURS = np.random.default_rng(4).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def write_png(path, samples, colour_type):
    """Write 16 bits a sample, which Pillow writes for grey alone (PNG specification, 11.2)."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def read_plain(tmp_path, pixels):
    """Return what is read of the same pixels in 8 bits."""
    path = tmp_path / "plain.png"
    Image.fromarray(pixels).save(path)
    return read_image(path, SIZE)


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        read_image(path, SIZE)
    assert str(path) in caught.value.where
    return caught.value


@pytest.mark.parametrize("factor", [256, 257])
def test_16_bits_are_read_as_8_bits_of_the_same_picture(tmp_path, factor):
    path = tmp_path / "a.png"
    for pixels, colour_type in ((GREY, 0), (COLOURS, 2)):
        write_png(path, pixels.astype(np.int64) * factor, colour_type)
        assert np.array_equal(read_image(path, SIZE), read_plain(tmp_path, pixels))


def test_16_bits_of_netpbm_are_read_as_well(tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P5 8 8 65535\n" + (GREY.astype(np.int64) * 257).astype(">u2").tobytes())
    assert np.array_equal(read_image(path, SIZE), read_plain(tmp_path, GREY))


def test_black_and_white_is_0_and_255(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(GREY > 127).save(path)
    assert np.array_equal(read_image(path, SIZE), read_plain(tmp_path, np.where(GREY > 127, 255, 0).astype(np.uint8)))


def test_a_palette_is_looked_up(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).quantize(256).save(path)
    assert np.abs(read_image(path, SIZE).astype(int) - read_plain(tmp_path, COLOURS)).max() <= 1


def test_transparency_is_dropped(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([COLOURS, GREY])).save(path)
    assert np.array_equal(read_image(path, SIZE), read_plain(tmp_path, COLOURS))


def test_cmyk_becomes_rgb(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8), (255, 0, 0)).convert("CMYK").save(path, quality=100)
    assert np.abs(read_image(path, SIZE).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(
    ("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)], ids=["upright", "half", "left", "right"]
)
def test_a_photo_stands_upright(tmp_path, orientation, turns):
    path = tmp_path / "a.png"
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(COLOURS, turns)))
    stored.getexif()[0x0112] = orientation
    stored.save(path, exif=stored.getexif())
    assert np.array_equal(read_image(path, SIZE), read_plain(tmp_path, COLOURS))


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_an_animation_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    frames = [Image.fromarray(COLOURS), Image.fromarray(COLOURS[::-1].copy())]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    error = refuse(path)
    assert (error.code, error.what) == (ExitCode.USAGE, "the picture is animated")
    assert "several frames" in error.found


def test_a_photo_with_a_preview_is_one_picture(tmp_path):
    path = tmp_path / "a.jpg"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 10, 10), (0, 0, 0))]
    frames[0].save(path, format="MPO", save_all=True, append_images=frames[1:])
    assert np.abs(read_image(path, SIZE).astype(int) - [200, 10, 10]).max() <= 4


@pytest.mark.parametrize(
    ("pixels", "what"), [(np.float32(GREY) / 255, "floats"), (GREY.astype(np.int32) + 65536, "more than 16 bits")]
)
def test_pixels_without_a_known_white_are_refused(tmp_path, pixels, what):
    path = tmp_path / "a.png"  # the content says what it is, and not the name
    Image.fromarray(pixels).save(path, format="TIFF")
    error = refuse(path)
    assert error.code == ExitCode.USAGE
    assert what in error.what


def write_header(path, width, height):
    """Write a PNG of this size as far as its header goes: what is refused by it, is refused before anything is decoded."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    content = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))


@pytest.mark.parametrize("size", [(8192, 6145), (6145, 8192), (1, 1_000_000), (1_000_000, 1)])
def test_a_picture_that_fills_the_memory_decoded_or_resized_is_refused_before_it_is(tmp_path, size):
    path = tmp_path / "a.png"
    write_header(path, *size)
    error = refuse(path)
    assert (error.code, error.what) == (ExitCode.USAGE, "the picture is too large")


def test_a_picture_of_the_largest_size_is_decoded(tmp_path):
    path = tmp_path / "a.png"
    write_header(path, 8192, 6144)
    assert refuse(path).code == ExitCode.MALFORMED  # for it has no pixels


def test_a_long_picture_is_read_as_long_as_it_fits_resized(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (1, 4000), (1, 2, 3)).save(path)
    assert (read_image(path, SIZE) == (1, 2, 3)).all()
    with pytest.raises(ToolchainError, match="too large"):
        read_image(path, 224)  # 256x1,024,000


@pytest.mark.parametrize("suffix", ["eps", "pcx", "tga", "ico", "jp2"])
def test_a_format_that_is_not_listed_is_refused_by_its_content(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOURS).save(path)
    path = path.rename(tmp_path / "a.png")
    assert refuse(path).code == ExitCode.MALFORMED


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpg", "ppm", "tiff", "webp"])
def test_a_format_that_is_listed_is_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8, 8), (255, 0, 0)).save(path)
    assert np.abs(read_image(path, SIZE).astype(int) - [255, 0, 0]).max() <= 3


def test_texts_that_unpack_to_gigabytes_are_not_unpacked(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    packed = zlib.compress(bytes(8 << 20))
    text = b"zTXt" + b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk * 200 + data[33:])
    assert refuse(path).code == ExitCode.MALFORMED


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert refuse(tmp_path / "a.png").found == "it is a pipe, and no file"

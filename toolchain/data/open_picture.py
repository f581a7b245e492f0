"""A picture file opened within limits: one picture of a known kind, upright, in 8 bits a channel."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolchain.errors import malformed, usage
from toolchain.run.regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image

# What Pillow may take a file for, by its content; of its other formats some start programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Of a picture, and of what it is resized to: photos of 50 megapixels, which phones take. WebP needs the most memory, 16 bytes
# a pixel (PNG 4 to 8, TIFF of 32 bits 13): 0.8 GiB.
_PIXELS_MAX = 8192 * 6144
# EXIF (CIPA DC-008, 4.6.4): with these, rows of the file are columns of the picture.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
# Pillow turns it by itself, and says the size that it has then.
_UPRIGHT = "TIFF"


class _Room:
    """Room for the pixels that are decoded at the same time, in all threads: as many as one of the largest pictures has."""

    def __init__(self, pixels: int) -> None:
        self._free, self._changed = pixels, threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Hold room for so many, which are no more than there is in all; waits until others have gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_ROOM = _Room(_PIXELS_MAX)


@contextmanager
def open_picture(path: Path, find_resized: Callable[[int, int], tuple[int, int]]) -> Iterator[Image.Image]:
    """Open a picture, of which only the header is read, and hold room for its pixels.

    find_resized: from its width and height to those that it will be resized to, which take room as well. Raises
    ToolchainError: exit 23 for a file that is no whole picture, also while its pixels are read; exit 2 for one that is too
    large.
    """
    with _open_header(path) as stored, _ROOM.take(_check_size(stored, find_resized, path)):
        yield stored


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture that stands upright, from its header alone; raises as open_picture does."""
    from PIL import Image

    with _open_header(path) as stored:
        # That of the class: a PNG's own would read all pixels to find EXIF data that come after them.
        is_turned = stored.format != _UPRIGHT and Image.Image.getexif(stored).get(_ORIENTATION) in _TURNED
        width, height = stored.size
        return (height, width) if is_turned else (width, height)


@contextmanager
def _open_header(path: Path) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with open_regular(path) as file, Image.open(file, formats=_FORMATS) as stored:
            yield stored
    # SyntaxError: what Pillow raises for a broken PNG; struct.error: for broken EXIF data; MemoryError: a decoder that asks
    # for what a broken header declares.
    except (
        UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, MemoryError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise malformed(
            "the picture is corrupt",
            where=str(path),
            expected=f"a whole picture of {', '.join(_FORMATS)}",
            found="none of these by its content"
            if isinstance(error, UnidentifiedImageError)
            else (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__,
            fix="copy the picture again, or remove it",
        ) from error


def _check_size(image: Image.Image, find_resized: Callable[[int, int], tuple[int, int]], path: Path) -> int:
    """Return how many pixels the picture or its resized form has, the more of both; refuse more than fit into memory.

    Nothing is decoded yet: the size is what the header declares.
    """
    width, height = image.size
    resized = find_resized(width, height)
    pixels = max(width * height, resized[0] * resized[1])
    if pixels > _PIXELS_MAX:
        raise usage(
            "the picture is too large",
            where=str(path),
            expected=f"at most {_PIXELS_MAX:,} pixels, also when it is resized",
            found=f"{width}x{height}, resized {resized[0]}x{resized[1]}",
            fix="store it smaller, or cut out of it what is to be seen",
        )
    return pixels


def turn_upright(image: Image.Image, path: Path) -> Image.Image:
    """Return a picture upright, of 8 bits a channel, in the mode of its file."""
    from PIL import ImageOps

    # A photo with a preview of itself (MPO) has two frames and is no film.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise usage(
            "the picture is animated",
            where=str(path),
            expected="one picture",
            found=f"several frames of {image.format}",  # to count them, all would be read
            fix="store the frames that are meant as a file each",
        )
    size = image.size
    ImageOps.exif_transpose(image, in_place=True)
    if image.size != size and (declared := read_size(path)) != image.size:
        raise usage(
            "the picture is turned by what stands behind its pixels",
            where=str(path),
            expected="EXIF data before the pixels: boxes and masks are placed by the header",
            found=f"{declared[0]}x{declared[1]} by the header, {image.size[0]}x{image.size[1]} upright",
            fix="store it upright, such as by ImageMagick: mogrify -auto-orient FILE",
        )
    wide = image.mode == "I" or image.mode.startswith("I;16")
    return _halve_depth(image, path) if wide else _check_mode(image, path)


def _halve_depth(image: Image.Image, path: Path) -> Image.Image:
    """Return grey of 16 bits as grey of 8, its upper half, as Pillow does for colours; its convert() makes it white."""
    from PIL import Image

    values = np.asarray(image)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise usage(
            "the picture has more than 16 bits a pixel",
            where=str(path),
            expected="0 to 65535",
            found=f"{values.min()} to {values.max()}",
            fix="store it with 8 or 16 bits",
        )
    return Image.fromarray((values >> 8).astype(np.uint8))


def _check_mode(image: Image.Image, path: Path) -> Image.Image:
    """Refuse pixels that are floats: nothing says which number is white."""
    if image.mode == "F":
        raise usage(
            "the pixels of the picture are floats",
            where=str(path),
            expected="whole numbers of 8 or 16 bits",
            found=f"{image.format or 'a picture'} of mode F",
            fix="store it with 8 bits, or the values in an .npz file",
        )
    return image

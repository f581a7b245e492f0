"""A picture file as pixels: upright, in RGB, of the size that a model sees."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed, usage
from toolchain.run.regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image

# What Pillow may take a file for, by its content; of its other formats some start programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Of a picture, and of what it is resized to: photos of 50 megapixels, which phones take. WebP needs the most memory, 16 bytes
# a pixel (PNG 4 to 8, TIFF of 32 bits 13): 0.8 GiB.
_PIXELS_MAX = 8192 * 6144


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


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture as `(size, size, 3)`: its shorter side resized to size · 256/224, the middle cut out.

    The same pixels as torchvision's Resize and CenterCrop on a Pillow image, which its models are evaluated with; the
    picture stands upright, as its EXIF data says. Raises ToolchainError: exit 23 for a file that is no whole picture,
    exit 2 for one that holds something else than one picture of 8 or 16 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_regular(path) as file, Image.open(file, formats=_FORMATS) as stored:
            pixels = _check_size(stored, size, path)
            with _ROOM.take(pixels):
                return _cut_out(stored, size, path)
    # SyntaxError: what Pillow raises for a broken PNG; struct.error: for broken EXIF data; MemoryError: a decoder that asks
    # for what a broken header declares.
    except (
        UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, MemoryError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise malformed(
            "the picture is corrupt",
            where=str(path),
            expected=f"a whole picture of {', '.join(_FORMATS)}",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__,
            fix="copy the picture again, or remove it",
        ) from error


def _check_size(image: Image.Image, size: int, path: Path) -> int:
    """Return how many pixels the picture or its resized form has, the more of both; refuse more than fit into memory.

    Nothing is decoded yet: the size is what the header declares.
    """
    width, height = image.size
    resized = _find_resized(width, height, size)
    pixels = max(width * height, resized[0] * resized[1])
    if pixels > _PIXELS_MAX:
        raise usage(
            "the picture is too large",
            where=str(path),
            expected=f"at most {_PIXELS_MAX:,} pixels, also when its shorter side is resized to {min(resized)}",
            found=f"{width}x{height}, resized {resized[0]}x{resized[1]}",
            fix="store it smaller, or cut out of it what is to be seen",
        )
    return pixels


def _find_resized(width: int, height: int, size: int) -> tuple[int, int]:
    shorter = round(size * 256 / 224)
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _cut_out(stored: Image.Image, size: int, path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    image = _turn_upright(stored, path)
    resized = image.resize(_find_resized(*image.size, size), Image.Resampling.BILINEAR)
    left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _turn_upright(image: Image.Image, path: Path) -> Image.Image:
    """Return a picture upright, in RGB: transparency is dropped, grey repeated."""
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
    ImageOps.exif_transpose(image, in_place=True)
    wide = image.mode == "I" or image.mode.startswith("I;16")
    plain = _halve_depth(image, path) if wide else _check_mode(image, path)
    return plain if plain.mode == "RGB" else plain.convert("RGB")


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

"""A picture file as pixels: upright, in RGB, of the size that a model sees."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed, usage

if TYPE_CHECKING:
    from PIL import Image


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture as `(size, size, 3)`: its shorter side resized to size · 256/224, the middle cut out.

    The same pixels as torchvision's Resize and CenterCrop on a Pillow image, which its models are evaluated with; the
    picture stands upright, as its EXIF data says. Raises ToolchainError: exit 23 for a file that is no whole picture,
    exit 2 for one that holds something else than one picture of 8 or 16 bits.
    """
    from PIL import Image

    image = _open_image(path)
    shorter = round(size * 256 / 224)
    width, height = image.size
    if width <= height:
        resized = image.resize((shorter, int(shorter * height / width)), Image.Resampling.BILINEAR)
    else:
        resized = image.resize((int(shorter * width / height), shorter), Image.Resampling.BILINEAR)
    left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _open_image(path: Path) -> Image.Image:
    """Return a picture upright, in RGB: transparency is dropped, grey repeated."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            # A photo with a preview of itself (MPO) has two frames and is no film.
            if file.format != "MPO" and getattr(file, "n_frames", 1) > 1:
                raise usage(
                    "the picture is animated",
                    where=str(path),
                    expected="one picture",
                    found=f"{getattr(file, 'n_frames', 1)} frames of {file.format}",
                    fix="store the frames that are meant as a file each",
                )
            upright = ImageOps.exif_transpose(file)
            wide = upright.mode == "I" or upright.mode.startswith("I;16")
            return (_halve_depth(upright, path) if wide else _check_mode(upright, path)).convert("RGB")
    # SyntaxError: what Pillow raises for a broken PNG; struct.error: for broken EXIF data.
    except (
        UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise malformed(
            "the picture is corrupt",
            where=str(path),
            expected="a whole picture",
            found=str(error),
            fix="copy the picture again, or remove it",
        ) from error


def _halve_depth(image: Image.Image, path: Path) -> Image.Image:
    """Return grey of 16 bits as grey of 8, its upper half, as Pillow does for colours; its convert() makes it white."""
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
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

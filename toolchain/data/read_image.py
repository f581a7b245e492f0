"""A picture file as pixels: upright, in RGB, of the size that a model sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.data.open_picture import open_picture, turn_upright


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture as `(size, size, 3)`: its shorter side resized to size · 256/224, the middle cut out.

    The same pixels as torchvision's Resize and CenterCrop on a Pillow image, which its models are evaluated with; the
    picture stands upright, as its EXIF data says; transparency is dropped, grey repeated. Raises ToolchainError: exit 23 for
    a file that is no whole picture, exit 2 for one that holds something else than one picture of 8 or 16 bits.
    """
    from PIL import Image

    with open_picture(path, lambda width, height: _find_resized(width, height, size)) as stored:
        image = turn_upright(stored, path)
        if image.mode != "RGB":
            image = image.convert("RGB")
        resized = image.resize(_find_resized(*image.size, size), Image.Resampling.BILINEAR)
        left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
        return np.asarray(resized.crop((left, top, left + size, top + size)))


def _find_resized(width: int, height: int, size: int) -> tuple[int, int]:
    shorter = round(size * 256 / 224)
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter

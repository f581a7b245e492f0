"""Scenes with faces, of the photographs that scikit-image and matplotlib carry: for detectors whose labels nobody has here."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.cbook
import numpy as np
from PIL import Image, ImageEnhance

from benchmarks.others.packages import PICTURES, read_packed

_BACKGROUNDS = ("brick", "chelsea", "coffee", "grass", "gravel", "motorcycle_left", "motorcycle_right", "rocket.jpg")
# Head and shoulders: left, top, right, bottom; and of these the face, as shares.
_ASTRONAUT, _HOPPER = (110, 0, 350, 300), (90, 30, 420, 440)
_ASTRONAUT_FACE, _HOPPER_FACE = (0.28, 0.22, 0.66, 0.62), (0.22, 0.12, 0.72, 0.66)
Box = tuple[float, float, float, float]


class Scenes:
    """Draws scenes; the same ones for the same generator."""

    def __init__(self, wheels: Path) -> None:
        """Read the photographs."""
        names = [name if "." in name else f"{name}.png" for name in _BACKGROUNDS]
        self._backgrounds = [_open(read_packed(PICTURES, f"skimage/data/{name}", wheels=wheels)) for name in names]
        hopper = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes()
        astronaut = _open(read_packed(PICTURES, "skimage/data/astronaut.png", wheels=wheels))
        self._people = [
            (astronaut.crop(_ASTRONAUT), _ASTRONAUT_FACE),
            (_open(hopper).crop(_HOPPER), _HOPPER_FACE),
        ]

    def draw(self, generator: np.random.Generator, side: int, people: int) -> tuple[Image.Image, list[Box]]:
        """Return a square scene with so many people on it, and where their faces are."""
        background = self._backgrounds[generator.integers(len(self._backgrounds))]
        cut = int(generator.integers(min(background.size) // 2, min(background.size)))
        left, top = (int(generator.integers(0, size - cut + 1)) for size in background.size)
        scene = background.crop((left, top, left + cut, top + cut)).resize((side, side))
        faces: list[Box] = []
        for _ in range(people):
            person, face = self._people[generator.integers(len(self._people))]
            width = int(generator.integers(side // 4, int(side * 0.7)))
            height = width * person.height // person.width
            drawn = person.resize((width, height))
            if generator.integers(2):
                drawn, face = (
                    drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
                    (1 - face[2], face[1], 1 - face[0], face[3]),
                )
            drawn = ImageEnhance.Brightness(drawn).enhance(generator.uniform(0.6, 1.3))
            drawn = ImageEnhance.Color(drawn).enhance(generator.uniform(0.3, 1.3))
            x, y = int(generator.integers(0, side - width + 1)), int(generator.integers(0, max(side - height, 0) + 1))
            scene.paste(drawn, (x, y))
            faces.append((x + face[0] * width, y + face[1] * height, x + face[2] * width, y + face[3] * height))
        return scene, faces


def crop_window(scene: Image.Image, faces: list[Box], generator: np.random.Generator, side: int) -> Image.Image:
    """Return a square window of a scene, near a face more often than not."""
    if generator.uniform() < 0.7:
        left, top, right, bottom = faces[generator.integers(len(faces))]
        size = max(right - left, bottom - top) * generator.uniform(0.8, 1.5)
        middle = np.array([(left + right) / 2, (top + bottom) / 2]) + generator.normal(scale=size * 0.12, size=2)
    else:
        size = scene.width * generator.uniform(0.1, 0.4)
        middle = generator.uniform(size / 2, scene.width - size / 2, 2)
    x, y = middle - size / 2
    return scene.crop((int(x), int(y), int(x + size), int(y + size))).resize((side, side))


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def stack(pictures: list[Image.Image], *, mean: float, std: float) -> np.ndarray:
    """Return pictures as float32 `(N, 3, H, W)`."""
    arrays = np.stack([np.asarray(picture, np.float32) for picture in pictures])
    return np.ascontiguousarray(((arrays - mean) / std).transpose(0, 3, 1, 2))

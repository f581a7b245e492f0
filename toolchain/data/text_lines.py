"""Lines of small letters and digits, set in seven faces, blurred and noisy: what a reader of labels and displays sees.

The faces are those that Pillow and matplotlib carry, so that every machine draws the same.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydantic import Field

from toolchain.data.dataset import IMAGE_INPUT, Dataset, hash_files
from toolchain.data.made import MadeSamples, join_texts
from toolchain.project.toml_file import Section, check_table

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
HEIGHT, WIDTH = 24, 128
LETTERS = (3, 8)
"""The fewest and the most of a line."""

_FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "STIXGeneral",
)
_PILLOWS_OWN = ""  # Aileron, which load_default draws in any size
_SIZES_PX = (15, 20)
_MARGIN_PX = 3
_TEST_SHARE = 8  # one text of so many is the test's alone


class Options(Section):
    """How many lines each part has."""

    train_samples: Annotated[int, Field(ge=16)] = 12_000
    test_samples: Annotated[int, Field(ge=16)] = 2_000


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the lines as grey pictures `(N, 1, 24, 128)`, ink above paper; no text is in both parts."""
    chosen = check_table(Options, options, what="the options of text_lines", where="data.options")
    train = _make_part("train", chosen.train_samples)
    return Dataset(
        name="text_lines",
        train=train,
        calibration=train,
        evaluation=_make_part("test", chosen.test_samples),
        classes=None,
        licence="made by this module; the faces are Aileron (CC0), DejaVu (Bitstream Vera) and STIX (OFL)",
    )


def _make_part(part: str, count: int) -> MadeSamples:
    texts = [_draw_text(part, index) for index in range(count)]
    versions = f"numpy {np.__version__}, Pillow {PIL.__version__}"
    return MadeSamples(
        count=count,
        make=lambda index: {IMAGE_INPUT: _draw_line(texts[index], _seed(part, index))},
        targets={"text": join_texts(texts)},
        sha256=hash_files(
            f"text_lines {part} {count}: {versions}", [Path(__file__), *(_find_face(face) for face in _FACES)]
        ),
        finish=_scale,
    )


def _scale(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pictures `(n, 1, H, W)` as float32, paper near 0 and ink near 1 or below."""
    return (1 - pictures / 255).astype(np.float32)


def _seed(part: str, index: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(part.encode()), index])


def _draw_text(part: str, index: int) -> str:
    rng = np.random.default_rng([zlib.crc32(f"{part} text".encode()), index])
    while True:
        length = rng.integers(LETTERS[0], LETTERS[1] + 1)
        text = "".join(ALPHABET[number] for number in rng.integers(len(ALPHABET), size=length))
        if (zlib.crc32(text.encode()) % _TEST_SHARE == 0) == (part == "test"):
            return text


def _draw_line(text: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one line `(1, H, W)`: face, size, place, slope, ink, paper, blur and noise are drawn."""
    face = (_PILLOWS_OWN, *_FACES)[rng.integers(len(_FACES) + 1)]
    size = int(rng.integers(_SIZES_PX[0], _SIZES_PX[1] + 1))
    while (box := _open_face(face, size).getbbox(text))[2] - box[0] > WIDTH - 2 * _MARGIN_PX:
        size -= 1
    ink, paper = int(rng.integers(0, 100)), int(rng.integers(170, 256))
    left = _MARGIN_PX + rng.integers(0, WIDTH - 2 * _MARGIN_PX - (box[2] - box[0]) + 1)
    top = (HEIGHT - (box[3] - box[1])) / 2 + rng.uniform(-1.5, 1.5)
    picture = Image.new("L", (WIDTH, HEIGHT), paper)
    ImageDraw.Draw(picture).text((float(left - box[0]), top - box[1]), text, fill=ink, font=_open_face(face, size))
    picture = picture.rotate(rng.uniform(-1.5, 1.5), Image.Resampling.BILINEAR, fillcolor=paper)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9)))
    noise = rng.normal(scale=rng.uniform(2, 20), size=(HEIGHT, WIDTH))
    return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)[None]


@functools.cache
def _open_face(face: str, size_px: int) -> Any:
    if face == _PILLOWS_OWN:
        return ImageFont.load_default(size_px)
    # The layout engine that every Pillow has: raqm is there on some machines alone, and kerns otherwise.
    return ImageFont.truetype(str(_find_face(face)), size_px, layout_engine=ImageFont.Layout.BASIC)


def _find_face(face: str) -> Path:
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"

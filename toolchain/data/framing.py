"""How a picture becomes a model's input: its size, its colours, its normalization; and where its points come to lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.preprocess.place import Placement, place_frame
from toolchain.data.open_picture import open_picture, turn_upright
from toolchain.errors import usage
from toolchain.project.toml_file import Section

if TYPE_CHECKING:
    from PIL import Image

_RGB = 3
# Of a side; a batch of 50 pictures of 4096 x 4096 would take 10 GB.
_SIDE_MAX = 4096

Side = Annotated[int, Field(ge=1, le=_SIDE_MAX)]
Channels = Annotated[list[float], Field(min_length=1, max_length=_RGB)]


class PictureOptions(Section):
    """What the model expects of a picture: the options that data sets of pictures share."""

    width: Side
    height: Side
    """Of the model's input, in pixels."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """Letterbox keeps the shape and fills what is left on both sides; stretch takes the whole input."""
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    """What a letterbox fills with; 114 is the habit of YOLO."""
    colour: Literal["rgb", "grey"] = "rgb"
    # Values are in [0, 1] before: these leave them there.
    mean: Channels = Field(default=[0.0])
    std: Channels = Field(default=[1.0])


MASK_MODES = frozenset({"P", "L", "1"})
"""Of Pillow: a palette, grey of 8 bits and of one."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The way from a picture file to an input, the same for all of a data set."""

    width: int
    height: int
    letterbox: bool
    fill: int
    grey: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def place(self, width: int, height: int) -> Placement:
        """Return where a picture of this size comes to lie."""
        return place_frame(
            width, height, width=self.width, height=self.height, resize="letterbox" if self.letterbox else "stretch"
        )

    def read_picture(self, path: Path) -> NDArray[np.uint8]:
        """Return a picture file as it lies in the input, `(H, W, C)`; raises ToolchainError as open_picture does."""
        from PIL import Image

        with open_picture(path, lambda *_: (self.width, self.height)) as stored:
            plain = _convert(turn_upright(stored, path), grey=self.grey)
            pixels = self._lay(plain, Image.Resampling.BILINEAR, fill=self.fill)
        return pixels[..., None] if self.grey else pixels

    def read_frame(self, path: Path) -> NDArray[np.uint8]:
        """Return a picture file upright in its own size, `(h, w, C)`, as a camera would have given it."""
        return read_frame(path, grey=self.grey)

    @property
    def framed(self) -> dict[str, Any]:
        """How pictures are laid, in the words of a sensor's picture (agent/sensor.py)."""
        return {"resize": "letterbox" if self.letterbox else "stretch", "fill": self.fill}

    def read_mask(self, path: Path, *, ignore: int) -> NDArray[np.uint8]:
        """Return the class numbers of a mask file as they lie in the input, `(H, W)`, ignored where the picture is not.

        They are its numbers of palette or its grey. Raises ToolchainError as open_picture does, and exit 2 for colours.
        """
        from PIL import Image

        with open_picture(path, lambda *_: (self.width, self.height)) as stored:
            if stored.mode not in MASK_MODES:
                raise usage(
                    "the mask is no picture of class numbers",
                    where=str(path),
                    expected="a class number for each pixel: a palette, or grey of 8 bits",
                    found=f"{stored.format} of mode {stored.mode}",
                    fix="store the number of its class in each pixel, as grey",
                )
            upright = turn_upright(stored, path)
            numbers = Image.fromarray(np.asarray(upright).astype(np.uint8))
            return self._lay(numbers, Image.Resampling.NEAREST, fill=ignore)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return pictures `(n, H, W, C)` as a model takes them: float32 `(n, C, H, W)`."""
        return normalize_pictures(pixels, mean=self.mean, std=self.std)

    def _lay(self, image: Image.Image, filter_: Any, *, fill: int) -> NDArray[np.uint8]:
        at = self.place(*image.size)
        resized = np.asarray(image.resize((at.width, at.height), filter_))
        laid = np.full((self.height, self.width, *resized.shape[2:]), fill, dtype=np.uint8)
        laid[at.top : at.top + at.height, at.left : at.left + at.width] = resized
        return laid


def read_frame(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    """Return a picture file upright in its own size, `(h, w, 3)` in RGB or `(h, w, 1)`; raises as open_picture does."""
    with open_picture(path, lambda width, height: (width, height)) as stored:
        pixels = np.asarray(_convert(turn_upright(stored, path), grey=grey))
    return pixels[..., None] if grey else pixels


def _convert(image: Image.Image, *, grey: bool) -> Image.Image:
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def make_framing(options: PictureOptions) -> Framing:
    """Return the way that options describe; raises ToolchainError (exit 2) where they do not fit each other."""
    channels = 1 if options.colour == "grey" else _RGB
    for name, values in (("mean", options.mean), ("std", options.std)):
        _check_channels(name, values, channels)
    check_std(options.std)
    return Framing(
        width=options.width,
        height=options.height,
        letterbox=options.resize == "letterbox",
        fill=options.fill,
        grey=options.colour == "grey",
        mean=tuple(options.mean),
        std=tuple(options.std),
    )


def normalize_pictures(
    pixels: NDArray[np.uint8], *, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """Return pictures `(n, H, W, C)`, as values in [0, 1] less mean and divided by std: float32 `(n, C, H, W)`."""
    means, stds = (np.array(values, dtype=np.float32) for values in (mean, std))
    normalized = (pixels.astype(np.float32) / np.float32(255) - means) / stds
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))


def check_std(std: Sequence[float]) -> None:
    """Refuse (exit 2) a standard deviation of 0."""
    if 0 in std:
        raise usage(
            "a standard deviation is 0",
            where="data.options.std",
            expected="what the training divided by",
            found=str(std),
            fix="give what the training divided by, or leave std out",
        )


def _check_channels(name: str, values: Sequence[float], channels: int) -> None:
    if len(values) not in (1, channels):
        raise usage(
            f"{name} does not fit the colours",
            where=f"data.options.{name}",
            expected="1 number" if channels == 1 else f"1 number for all channels, or {channels}",
            found=str(len(values)),
            fix=f"correct {name}, or colour",
        )

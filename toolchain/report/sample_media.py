"""Samples as pictures, sounds and texts that lie in the page: what the model got, not what the sensor saw."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.golden import open_golden
from toolchain.report.sample_text import read_sample_texts

# Six of them are at most 0.5 MB of PNG in base64: 160 x 160 x 3 that does not compress.
_SIDE_MAX = 160
_SIDE_MIN = 8
# Shorter ones are rows of numbers.
_SOUND_MIN, _SOUND_MAX = 1000, 160_000
# Two lines a pixel of a narrow screen.
_WAVE_POINTS = 300
# Characters: what is read at a glance, and six of them in three columns fill half a printed page.
_TEXT_MAX = 800
# Without [input] nobody says the rate: what speech is recorded at, and the page says that it is assumed.
_RATE_HZ = 16_000


@dataclass(frozen=True)
class SampleMedia:
    """A picture or a sound as a data URI, or a text; of a picture the size that the model has it in, of a sound its outline, 0 to 1."""

    kind: Literal["picture", "sound", "text"]
    uri: str = ""
    width: int = 0
    height: int = 0
    outline: tuple[tuple[float, float], ...] = ()
    note: str = ""
    text: str = ""
    """Its beginning, of others' making: escaped where it is shown."""


Media = Mapping[int, SampleMedia]
"""By the sample's index."""


def draw_samples(bundle_dir: Path, manifest: Manifest, indices: Sequence[int]) -> dict[int, SampleMedia]:
    """Return the first input of these evaluation samples, of those that are a picture, a sound or a text.

    Raises ToolchainError (exit 23) where the golden arrays cannot be read.
    """
    if not indices or not manifest.inputs:
        return {}
    if manifest.input is not None and manifest.input.text is not None:
        texts = read_sample_texts(bundle_dir, manifest, indices)
        return {index: draw_text(text) for index, text in texts.items()}
    golden, name = open_golden(bundle_dir, manifest), manifest.inputs[0].name
    media = {}
    for index in indices:
        array = golden.read_inputs(index, index + 1)[name]
        drawn = draw_sample(array[0] if len(array) == 1 else array, manifest)
        if drawn is not None:
            media[index] = drawn
    return media


def draw_text(text: str) -> SampleMedia:
    """Return a text as it is shown: its beginning, with a note where that is not all."""
    is_whole = len(text) <= _TEXT_MAX
    note = (
        "as the model got it" if is_whole else f"the first {_TEXT_MAX:,} of {len(text):,} characters that the model got"
    )
    return SampleMedia("text", text=text[:_TEXT_MAX], note=note)


def draw_sample(array: NDArray[Any], manifest: Manifest) -> SampleMedia | None:
    """Return one sample (..., without an axis of samples) as what it looks or sounds like; None for what is neither."""
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        return None
    sound = array.reshape(-1)
    if max(array.shape, default=0) == sound.size and _SOUND_MIN <= sound.size <= _SOUND_MAX:
        spec = None if manifest.input is None else manifest.input.sound
        return _draw_sound(sound, None if spec is None else spec.rate_hz)
    pixels = _find_pixels(array)
    if pixels is None:
        return None
    picture = None if manifest.input is None else manifest.input.picture
    if picture is not None and picture.colour == "BGR":
        pixels = pixels[..., ::-1]
    return _draw_picture(pixels)


def _find_pixels(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return (h, w) or (h, w, 3); of a plane of numbers, such as a spectrogram, the first axis is the height."""
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 3:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    is_picture = array.ndim in (2, 3) and min(array.shape[:2]) >= _SIDE_MIN and array.shape[2:] in ((), (3,))
    return array if is_picture else None


def _draw_picture(pixels: NDArray[Any]) -> SampleMedia:
    from PIL import Image

    height, width = pixels.shape[:2]
    if pixels.dtype == np.uint8:
        shown, note = pixels, ""
    else:
        low, high = float(pixels.min()), float(pixels.max())
        shown = ((pixels - low) * (255.0 / (high - low or 1.0))).astype(np.uint8)
        note = "contrast stretched"
    image = Image.fromarray(np.ascontiguousarray(shown))
    if max(width, height) > _SIDE_MAX:
        image.thumbnail((_SIDE_MAX, _SIDE_MAX))
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return SampleMedia("picture", _write_uri("image/png", data.getvalue()), width=width, height=height, note=note)


def _draw_sound(samples: NDArray[Any], rate_hz: int | None) -> SampleMedia:
    loudest = float(np.abs(samples).max()) or 1.0
    loud = samples.astype(np.float64) / loudest
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)  # 8 bits: what is heard is which word it was
        file.setframerate(rate_hz or _RATE_HZ)
        file.writeframes((loud * 127 + 128).astype(np.uint8).tobytes())
    steps = np.array_split(loud, min(_WAVE_POINTS, len(loud)))
    outline = [(0.5 - float(step.max()) / 2, 0.5 - float(step.min()) / 2) for step in steps]
    note = "as loud as it gets" + ("" if rate_hz else f", played at an assumed {_RATE_HZ:,} Hz")
    return SampleMedia("sound", _write_uri("audio/wav", data.getvalue()), outline=tuple(outline), note=note)


def _write_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

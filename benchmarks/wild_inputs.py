"""Plausible inputs for the models of benchmarks/wild.py: photographs, printed words, voiced sound, text bytes and tokens; no noise.

Random numbers would drive a trained model where no real input does, and prove nothing. The photographs are those that
matplotlib ships; the sound is a synthetic voice (harmonics with an envelope).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.cbook
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Feed = dict[str, NDArray[Any]]

_SAMPLE_RATE_HZ = 16_000


def make_feed(model: str, seed: int) -> Feed:
    """Return the inputs of one run of a model, by its file's name."""
    generator = np.random.default_rng(seed)
    maker = next((maker for part, maker in _MAKERS.items() if part in model), None)
    if maker is None:
        message = f"no inputs are known for {model}"
        raise KeyError(message)
    feed: Feed = maker(generator)
    return feed


def _take_photo(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return a random crop, (1, 3, height, width), in 0 to 1."""
    name = ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png")[generator.integers(2)]
    with Image.open(matplotlib.cbook.get_sample_data(name, asfileobj=False)) as file:
        picture = file.convert("RGB")
    side = int(generator.integers(min(picture.size) // 3, min(picture.size)))
    left, top = (int(generator.integers(0, size - side + 1)) for size in picture.size)
    crop = picture.crop((left, top, left + side, top + side)).resize((width, height))
    return np.ascontiguousarray(np.asarray(crop, dtype=np.float32).transpose(2, 0, 1)[None] / 255)


def _draw_text(generator: np.random.Generator, height: int, width: int, lines: int) -> NDArray[np.float32]:
    """Return printed words on paper, (1, 3, height, width), in 0 to 1."""
    words = (__doc__ or "").split()
    page = Image.new("RGB", (width, height), tuple(generator.integers(200, 256, 3).tolist()))
    draw = ImageDraw.Draw(page)
    size = height / lines * 0.7
    for line in range(lines):
        text = " ".join(generator.choice(words, 4))
        ink = tuple(generator.integers(0, 90, 3).tolist())
        draw.text((generator.uniform(0, width / 8), line * height / lines), text, ink, ImageFont.load_default(size))
    return np.ascontiguousarray(np.asarray(page, dtype=np.float32).transpose(2, 0, 1)[None] / 255)


def _make_voice(generator: np.random.Generator, samples: int) -> NDArray[np.float32]:
    """Return a synthetic voice, (1, samples), at 16 kHz."""
    time_s = np.arange(samples) / _SAMPLE_RATE_HZ
    pitch_hz = generator.uniform(90, 250)
    envelope = np.clip(np.sin(2 * np.pi * generator.uniform(1, 4) * time_s + generator.uniform(0, 6)), 0, 1)
    glide = 1 + 0.01 * np.sin(5 * time_s)
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * order * time_s * glide) / order for order in range(1, 12))
    voice = harmonics * envelope * 0.1 + generator.normal(0, 0.005, samples)
    return voice[None].astype(np.float32)


def _normalize(photo: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((photo - 0.45) / 0.225).astype(np.float32)


def _make_silero(generator: np.random.Generator) -> Feed:
    state = generator.normal(0, 0.1, (2, 1, 128)).astype(np.float32)
    return {"input": _make_voice(generator, 576), "state": state, "sr": np.array(_SAMPLE_RATE_HZ, np.int64)}


def _make_tokens(generator: np.random.Generator) -> Feed:
    mask = (np.arange(32) < generator.integers(6, 33)).astype(np.int64)[None]
    return {"input_ids": generator.integers(1000, 20_000, (1, 32)) * mask, "attention_mask": mask}


def _make_bytes(generator: np.random.Generator) -> Feed:
    text = Path(__file__).read_bytes() * 2
    start = int(generator.integers(0, len(text) // 2))
    return {"bytes": np.frombuffer(text[start : start + 2048], np.uint8).astype(np.int32)[None]}


_MAKERS: dict[str, Any] = {
    "nmp": lambda g: {"serving_default_input_2:0": _make_voice(g, 43_844)[..., None]},
    "magika": _make_bytes,
    "320n": lambda g: {"images": _take_photo(g, 320, 320)},
    "nsfw": lambda g: {"input:0": np.ascontiguousarray((_take_photo(g, 224, 224) * 255 - 110).transpose(0, 2, 3, 1))},
    "orientation": lambda g: {"x": _normalize(_take_photo(g, 224, 224))},
    "focus": lambda g: {"input_image": _normalize(_take_photo(g, 224, 224))},
    "det_infer": lambda g: {"x": _normalize(_draw_text(g, 320, 320, 8))},
    "rec_infer": lambda g: {"x": _draw_text(g, 48, 320, 1) * 2 - 1},
    "cls_infer": lambda g: {"x": _draw_text(g, 48, 192, 1) * 2 - 1},
    "sequence": lambda g: {
        "input": _make_voice(g, 576),
        "h": np.zeros((1, 1, 128), np.float32),
        "c": np.zeros((1, 1, 128), np.float32),
    },
    "openvino": lambda g: {name: array for name, array in _make_silero(g).items() if name != "sr"},
    "half": lambda g: {name: array for name, array in _make_silero(g).items() if name != "sr"},
    "silero": _make_silero,
    "aecmos": lambda g: {
        "input": np.log1p(np.abs(_make_voice(g, 3 * 50 * 160).reshape(1, 3, 50, 160))),
        "h0": np.zeros((4, 1, 64), np.float32),
    },
    "model_v8": lambda g: {"input_1": g.normal(-20, 10, (1, 900, 120)).astype(np.float32)},
    "sig_bak": lambda g: {"input_1": _make_voice(g, 144_160)},
    "plcmos": lambda g: {
        "degraded_audio": g.normal(0, 1, (1, 1, 60, 257)).astype(np.float32),
        "rater_embed": g.normal(0, 1, (1, 64)).astype(np.float32),
    },
    "MiniLM": _make_tokens,
    "efficientnet": lambda g: {"x": (_take_photo(g, 224, 224) * 255 - 127) / 128},
}

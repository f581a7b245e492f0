"""Lines of printed words for the recogniser of PP-OCRv4 in rapidocr-onnxruntime: 48 x 320, in the faces of `text_lines`."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

from benchmarks.others.packages import RAPIDOCR, read_packed

_MODEL = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
_FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
_HEIGHT, _WIDTH = 48, 320
_WORDS = [
    "power",
    "valve",
    "motor",
    "left",
    "right",
    "open",
    "close",
    "start",
    "stop",
    "reset",
    "total",
    "input",
    "output",
    "level",
    "water",
    "north",
    "south",
    "table",
    "paper",
    "light",
    "green",
    "black",
    "white",
    "seven",
    "eight",
    "three",
    "serial",
    "number",
    "weight",
    "date",
    "price",
    "order",
    "batch",
    "market",
    "street",
    "station",
]


def make(folder: Path, wheels: Path) -> dict[str, str]:
    """Write model and data; return what the recipe has in place of its words in angles."""
    path = folder / "model.onnx"
    path.write_bytes(read_packed(RAPIDOCR, _MODEL, wheels=wheels))
    for part, count, seed in (("calibrate", 96, 0), ("evaluate", 300, 1)):
        generator = np.random.default_rng(seed)
        texts = [_draw_text(generator) for _ in range(count)]
        lines = np.stack([_draw_line(text, generator) for text in texts])
        encoded = [text.encode() for text in texts]
        values = np.frombuffer(b"".join(encoded), np.uint8)
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        np.savez(folder / f"{part}.npz", **{"x": lines, "text.values": values, "text.offsets": offsets})
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    # The blank comes first; behind the letters of the file is the space (rapidocr's use_space_char).
    return {"<alphabet>": json.dumps("".join(metadata["character"].splitlines()) + " ", ensure_ascii=False)}


def _draw_text(generator: np.random.Generator) -> str:
    words = [str(word) for word in generator.choice(_WORDS, 2)]
    return f"{words[0]} {generator.integers(1, 1000)} {words[1]}"[:18].strip()


def _draw_line(text: str, generator: np.random.Generator) -> np.ndarray:
    """Return a line `(3, 48, 320)` in -1 to 1: face, size, ink, paper and noise are drawn."""
    face = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{generator.choice(_FACES)}.ttf"
    size = int(generator.integers(24, 34))
    while (box := ImageFont.truetype(str(face), size).getbbox(text))[2] > _WIDTH - 8:
        size -= 1
    paper, ink = int(generator.integers(170, 256)), int(generator.integers(0, 100))
    page = Image.new("L", (_WIDTH, _HEIGHT), paper)
    top = (_HEIGHT - (box[3] - box[1])) / 2 - box[1] + generator.uniform(-3, 3)
    ImageDraw.Draw(page).text((4, top), text, fill=ink, font=ImageFont.truetype(str(face), size))
    noisy = np.clip(np.asarray(page) + generator.normal(scale=generator.uniform(2, 25), size=(_HEIGHT, _WIDTH)), 0, 255)
    return np.repeat(noisy[None].astype(np.float32) / 127.5 - 1, 3, axis=0)

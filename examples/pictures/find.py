"""Finds things in pictures.

    python find.py ROOT PICTURE... --out FOLDER [--classes FILE] [--mean 0.34 --std 0.18]

Needs edge-toolchain-app and Pillow. The model on the board is a detector: its bundle names a decoder that makes boxes, scores
and class numbers. Each picture is written to FOLDER with its boxes drawn. Where the recipe has an [input], the bundle says
how a picture becomes what the model takes. Elsewhere mean and std are those that it was trained with, of numbers from 0 to 1
(0.34 and 0.18: models/detector).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from edge_app import Model, ToolchainError, open_current
from PIL import Image, ImageDraw

_COLOURS = ("red", "lime", "cyan", "magenta", "yellow", "orange")


def look_at(picture: Image.Image, model: Model, mean: float, std: float) -> Dict[str, Any]:
    """Return what the model finds, boxes in pixels of the picture."""
    sensor = model.sensor
    if sensor is not None and sensor.picture is not None:
        grey = sensor.picture.colour == "grey"
        pixels = np.asarray(picture.convert("L" if grey else "RGB")).reshape(picture.height, picture.width, -1)
        return model.see(pixels[..., ::-1] if sensor.picture.colour == "BGR" else pixels)
    frame, scale = prepare(picture, model, mean, std)
    answers = model(frame)
    return {**answers, "boxes": answers["boxes"] / scale}


def prepare(picture: Image.Image, model: Model, mean: float, std: float) -> Tuple[Any, float]:
    """Return what the model takes of a picture, and how much smaller it is there; the rest, right and below, is 0."""
    _, channels, height, width = model.inputs[0].shape
    if channels is None or height is None or width is None:
        message = f"expected a model that takes (n, channels, height, width), found {model.inputs[0].shape}"
        raise SystemExit(message)
    scale = min(width / picture.width, height / picture.height)
    small = picture.convert("L" if channels == 1 else "RGB")
    small = small.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.BILINEAR)
    pixels = np.zeros((height, width, channels), dtype=np.float32)
    pixels[: small.height, : small.width] = np.asarray(small, dtype=np.float32).reshape(small.height, small.width, -1)
    return np.ascontiguousarray(((pixels / 255 - mean) / std).transpose(2, 0, 1), dtype=np.float32), scale


def draw(picture: Image.Image, answers: Any, names: List[str], score_min: float) -> Image.Image:
    """Return the picture with what was found in it."""
    drawn = picture.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    for box, score, number in zip(answers["boxes"], answers["scores"], answers["classes"]):  # noqa: B905 - 3.8
        if score >= score_min:
            name = names[number] if number < len(names) else f"class {number}"
            colour = _COLOURS[number % len(_COLOURS)]
            pen.rectangle([float(side) for side in box], outline=colour, width=2)
            pen.text((float(box[0]) + 3, float(box[1]) + 2), f"{name} {score:.2f}", fill=colour)
    return drawn


def main() -> int:
    """Return the exit code: 0, or that of the error (docs/boards.md)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mean", type=float, default=0.0)
    parser.add_argument("--std", type=float, default=1.0)
    parser.add_argument("--classes", type=Path, help="a name a line")
    parser.add_argument("--score-min", type=float, default=0.5)
    given = parser.parse_args()
    names = given.classes.read_text(encoding="utf-8").splitlines() if given.classes else []
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        with open_current(given.root) as model:
            for path in given.pictures:
                picture = Image.open(path)
                answers = look_at(picture, model, given.mean, given.std)
                draw(picture, answers, names or list(model.classes), given.score_min).save(
                    given.out / f"{path.stem}.png"
                )
                count = int((answers["scores"] >= given.score_min).sum())
                print(f"{path.name}: {count} found")  # noqa: T201
    except ToolchainError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

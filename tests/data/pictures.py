"""Tiny data sets of pictures, as files of each format."""

import json

import numpy as np
from PIL import Image

INPUT = {"width": 32, "height": 16}


def write_picture(path, size=(20, 10), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_coco(count=3, first=0):
    """Return a COCO document of pictures of 20x10 with two boxes each, and a category that is not the next one."""
    return {
        "info": {"year": 2026},
        "images": [{"id": 10 + n, "file_name": f"{first + n}.png", "width": 20, "height": 10} for n in range(count)],
        "annotations": [
            {"id": 2 * n + row, "image_id": 10 + n, "category_id": (7, 3)[row], "bbox": box, "iscrowd": 0, "area": 9}
            for n in range(count)
            for row, box in enumerate(([2, 2, 4, 6], [10.5, 0, 9.5, 10]))
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def write_coco(folder, train=None, evaluation=None):
    """Write both parts and return the options."""
    options = dict(INPUT)
    for number, (part, given) in enumerate((("train", train), ("evaluation", evaluation))):
        for seed, picture in enumerate(make_coco(first=5 * number)["images"]):
            write_picture(folder / part / picture["file_name"], seed=10 * number + seed)
        (folder / f"{part}.json").write_text(json.dumps(given or make_coco(first=5 * number)))
        options |= {part: str(folder / f"{part}.json"), f"{part}_pictures": str(folder / part)}
    return options


def write_yolo(folder, lines="0 0.25 0.5 0.5 1.0\n1 0.5 0.5 0.1 0.2\n"):
    """Write both parts, of which the second picture has no labels, and return the options."""
    options = INPUT | {"names": ["cat", "dog"]}
    for number, part in enumerate(("train", "evaluation")):
        for seed in range(3):
            write_picture(folder / part / f"images/{seed}.png", seed=10 * number + seed)
        for name in ("0", "2"):
            (folder / part / "labels").mkdir(exist_ok=True)
            (folder / part / f"labels/{name}.txt").write_text(lines)
        options |= {part: str(folder / part / "images"), f"{part}_labels": str(folder / part / "labels")}
    return options


def write_masks(folder, highest=2):
    """Write both parts and return the options."""
    options = INPUT | {"names": ["sky", "road", "car"]}
    for number, part in enumerate(("train", "evaluation")):
        for seed in range(3):
            write_picture(folder / part / f"pictures/{seed}.png", seed=10 * number + seed)
            mask = np.random.default_rng(seed).integers(0, highest + 1, (10, 20), dtype=np.uint8)
            (folder / part / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / part / f"masks/{seed}.png")
        options |= {part: str(folder / part / "pictures"), f"{part}_masks": str(folder / part / "masks")}
    return options

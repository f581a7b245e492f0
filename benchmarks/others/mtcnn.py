"""Scenes and windows with faces for the three nets of facenet-pytorch's MTCNN; nobody labelled them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.others.faces import Scenes, crop_window, stack
from benchmarks.others.packages import FACENET, read_packed

_SOURCE = "facenet_pytorch/models"
_SIDES = {"pnet": 96, "rnet": 24, "onet": 48}


def make(folder: Path, wheels: Path) -> dict[str, str]:
    """Write classes, weights and data of the net that the folder is called after; the recipe stays as it is."""
    name = folder.name
    models = folder / "facenet_models"
    (models / "utils").mkdir(parents=True, exist_ok=True)
    for file in ("mtcnn.py", "utils/detect_face.py"):
        (models / file).write_bytes(read_packed(FACENET, f"{_SOURCE}/{file}", wheels=wheels))
    for package in (models, models / "utils"):
        (package / "__init__.py").write_text("")
    weights = torch.load(
        io.BytesIO(read_packed(FACENET, f"facenet_pytorch/data/{name}.pt", wheels=wheels)), weights_only=True
    )
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "weights.safetensors")
    scenes, side = Scenes(wheels), _SIDES[name]
    for part, count, seed in (("calibrate", 128, 0), ("evaluate", 400, 1)):
        generator = np.random.default_rng(seed)
        pictures = []
        for _ in range(count):
            scene, faces = scenes.draw(generator, 256, int(generator.integers(1, 3)))
            # P-Net sees faces of 12 pixels: a level of the pyramid.
            small = scene.resize((side, side)) if name == "pnet" else crop_window(scene, faces, generator, side)
            pictures.append(small)
        np.savez(folder / f"{part}.npz", x=stack(pictures, mean=127.5, std=128.0))
    return {}

"""Scenes with faces for the detector of nudenet, YOLOv8 of 18 classes at 320 x 320; nobody labelled them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.others.faces import Scenes, stack
from benchmarks.others.packages import NUDENET, read_packed


def make(folder: Path, wheels: Path) -> dict[str, str]:
    """Write model and data; the recipe stays as it is."""
    (folder / "model.onnx").write_bytes(read_packed(NUDENET, "nudenet/320n.onnx", wheels=wheels))
    scenes = Scenes(wheels)
    for part, count, seed in (("calibrate", 64, 0), ("evaluate", 128, 1)):
        generator = np.random.default_rng(seed)
        drawn = [scenes.draw(generator, 320, int(generator.integers(1, 4)))[0] for _ in range(count)]
        np.savez(folder / f"{part}.npz", images=stack(drawn, mean=0.0, std=255.0))
    return {}

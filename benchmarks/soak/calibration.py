"""Ten thousand calibration samples, of pictures and of an .npz file: they must take no more memory than a thousand.

Peaks are of the whole command and of all that it starts, each with an empty cache.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.models import draw_samples, write_small
from benchmarks.soak.process_memory import run_watched

COUNTS = (1_000, 10_000)
MORE_BYTES_MAX = 50_000_000
_SIZE = 64  # the arrays of 10,000 pictures have 491 MB
_CLASSES = ("a", "b")
_EVALUATED = 64
_STORED = 73  # pixels of a picture's side: cut to 64 (read_image.py), its shorter side resized to 73
_LIMIT_S = 3600.0  # ends what hangs
_RECIPE = """\
[model]
onnx = "small.onnx"
[data]
name = "{name}"
options = {{ {options} }}
calibration_samples = {count}
metric = "none"
"""
_TARGET = """\
# Emulated: no verdict hangs on the time that something took.
runtime = "onnxruntime"
precision = ["int8"]
signature = "optional"
emulated = true
"""


def write_pictures(folder: Path, count: int) -> tuple[str, str]:
    """Write so many pictures into a folder, and return the data set that reads them and its options."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, pictures in (("train", count), ("test", _EVALUATED)):
        for name in _CLASSES:
            (folder / "pictures" / part / name).mkdir(parents=True)
        for index in range(pictures):
            # Coarse, so that it is still there once it was resized.
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((_STORED, _STORED), Image.Resampling.BILINEAR)
            picture.save(folder / "pictures" / part / _CLASSES[index % 2] / f"{index}.png", compress_level=1)
    return "image_folder", f'folder = "pictures", size = {_SIZE}'


def write_arrays(folder: Path, count: int) -> tuple[str, str]:
    """Write so many samples into an .npz file, and return the data set that reads them and its options."""
    for name, samples, seed in (("train", count, 0), ("test", _EVALUATED, 1)):
        np.savez(folder / f"{name}.npz", input=draw_samples(samples, (3, _SIZE, _SIZE), seed=seed))
    return "npz", 'path = "train.npz", evaluation = "test.npz"'


KINDS: Mapping[str, Callable[[Path, int], tuple[str, str]]] = {"pictures": write_pictures, "npz": write_arrays}


def find_excess(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which kinds of data took more memory where there was more of it, one sentence each."""
    found = []
    for kind in KINDS:
        peaks = {row["samples"]: row["peak_bytes"] for row in rows if row["data"] == kind}
        more = peaks[max(peaks)] - peaks[min(peaks)]
        if more >= MORE_BYTES_MAX:
            found.append(f"{kind}: {max(peaks):,} samples take {more:,} bytes more than {min(peaks):,}")
    return found


def run_once(kind: str, count: int) -> dict[str, Any]:
    """Return what so many samples took, in a folder and with a cache of their own."""
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        write_small(folder, size=_SIZE, seed=0)
        name, options = KINDS[kind](folder, count)
        (folder / "target.toml").write_text(_TARGET, encoding="utf-8")
        recipe = _RECIPE.format(name=name, options=options, count=count)
        (folder / "small.toml").write_text(recipe, encoding="utf-8")
        command = [sys.executable, "-m", "toolchain", "deploy", str(folder / "small.toml"), "--quiet"]
        command += ["--target", str(folder / "target.toml"), "--out", str(folder / "out")]
        environment = {
            **os.environ,
            "TOOLCHAIN_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        ended = run_watched(command, folder=folder, environment=environment, timeout_s=_LIMIT_S)
    if ended.exit_code != 0:
        raise RuntimeError(f"{kind}, {count} samples: exit code {ended.exit_code}: {ended.stderr}")
    return {
        "data": kind,
        "samples": count,
        "peak_bytes": ended.peak_bytes,
        "peak_at_s": round(ended.peak_at_s, 1),
        "wall_s": round(ended.wall_s, 1),
    }


def measure() -> dict[str, Any]:
    """Return what each kind of data took, and what of it is too much."""
    rows = []
    for kind in KINDS:
        for count in COUNTS:
            rows.append(run_once(kind, count))
            sys.stderr.write(f"{kind}, {count} samples: {rows[-1]['peak_bytes'] / 1e6:.0f} MB\n")
    return {"more_bytes_max": MORE_BYTES_MAX, "problems": find_excess(rows), "rows": rows}

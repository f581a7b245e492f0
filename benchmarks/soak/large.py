"""A model of 1 GiB of weights, in a file beside it, through the whole flow in at most 6 GB, under the limits that it has by itself."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.models import draw_samples, write_large
from benchmarks.soak.process_memory import run_watched

PEAK_BYTES_MAX = 6_000_000_000
_LAYERS = 16
_WIDTH = 4096
_SAMPLES = 32
_LIMIT_S = 7200.0  # ends what hangs
# 20: others used the machine meanwhile, so that the times mean nothing. The flow ran to its end, and it is not about times.
_ENDS = (0, 20)


def measure() -> dict[str, Any]:
    """Return what the command took, with all that it started, and what of it is too much."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_large(folder, layers=_LAYERS, width=_WIDTH)
        np.savez(folder / "data.npz", input=draw_samples(_SAMPLES, (_WIDTH,), seed=1))
        model_bytes = sum(path.stat().st_size for path in folder.glob("large.onnx*"))
        command = [sys.executable, "-m", "toolchain", "deploy", str(model), "--target", "cpu", "--quiet"]
        command += ["--calibration", str(folder / "data.npz"), "--out", str(folder / "out")]
        environment = {
            **os.environ,
            "TOOLCHAIN_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        ended = run_watched(command, folder=folder, environment=environment, timeout_s=_LIMIT_S)
        if ended.exit_code not in _ENDS:
            raise RuntimeError(f"exit code {ended.exit_code}: {ended.stderr}")
        report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    if report["error"] is not None:
        raise RuntimeError(f"exit code {ended.exit_code}: {ended.stderr}")
    problems = []
    if ended.peak_bytes > PEAK_BYTES_MAX:
        problems.append(f"{ended.peak_bytes:,} bytes of memory; at most {PEAK_BYTES_MAX:,} were expected")
    return {
        "model_bytes": model_bytes,
        "peak_bytes": ended.peak_bytes,
        "peak_bytes_max": PEAK_BYTES_MAX,
        "peak_at_s": round(ended.peak_at_s, 1),
        "wall_s": round(ended.wall_s, 1),
        "exit_code": ended.exit_code,
        "precision": report["precision"],
        "problems": problems,
        "rows": [{"stage": stage["name"], "duration_s": stage["duration_s"]} for stage in report["stages"]],
    }

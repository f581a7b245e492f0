"""Quantizers that need an environment of their own: a script of ours, run by their Python with the feeds in a file."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantize_elsewhere(
    python: Path,
    script: Path,
    source: Path,
    feeds: Iterable[Mapping[str, NDArray[Any]]],
    target: Path,
    *,
    limit_cpu_s: int = resource.RLIM_INFINITY,
) -> None:
    """Write what `PYTHON SCRIPT MODEL.onnx CALIBRATION.npz TARGET` makes; the npz holds the feeds of run i as "i/NAME".

    Raises CalledProcessError with what the tool said, or where it took more than limit_cpu_s of CPU time.
    """
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "calibration.npz"
        arrays = {f"{i}/{name}": array for i, feed in enumerate(feeds) for name, array in feed.items()}
        np.savez(calibration, **arrays)  # type: ignore[arg-type]  # keys of savez's own are no feeds
        # Not resolved: an environment's Python is a link, and finds the environment by its own place.
        command = [str(path.absolute()) for path in (python, script, source, calibration, target)]
        limit = partial(resource.setrlimit, resource.RLIMIT_CPU, (limit_cpu_s, limit_cpu_s))
        # In a folder of its own: Quark leaves a table where it is run.
        subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=limit, cwd=folder)

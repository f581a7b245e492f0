"""Runs a payload until it is as fast as it was when it was measured, before the first frame comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ToolchainError
from ..manifest import Manifest, TensorSpec
from ..measure.levels import find_levels_path
from ..measure.npy import map_npy
from ..measure.session import Session
from ..measure.steady import run_until_steady


def warm_up(session: Session, manifest: Manifest, release: Path) -> None:
    """Run on zeros of the shape of a frame, as long as the measurement warmed up; where that is unknown, do nothing."""
    feeds = _make_zeros(manifest, session, release)
    if feeds is None:
        return
    try:
        session.run(feeds)
    except ToolchainError:  # zeros may be no input that a payload takes; frames are another matter
        return
    if not manifest.emulated:  # where time means nothing, nothing becomes steady
        run_until_steady(lambda: session.run(feeds))


def _make_zeros(manifest: Manifest, session: Session, release: Path) -> Optional[Dict[str, NDArray[Any]]]:
    feeds: Dict[str, NDArray[Any]] = {}
    for spec in session.inputs:
        shape = _find_shape(spec, manifest, release)
        if shape is None:
            return None
        feeds[spec.name] = np.zeros(shape, dtype=spec.dtype)
    return feeds


def _find_shape(spec: TensorSpec, manifest: Manifest, release: Path) -> Optional[Tuple[int, ...]]:
    """Return the shape of a frame: of the payload, and where that is open of the evaluation set."""
    golden = manifest.golden
    sizes = spec.shape if golden.stacked else ((1 if spec.shape[0] is None else spec.shape[0]), *spec.shape[1:])
    if None not in sizes:
        return tuple(size for size in sizes if size is not None)
    path = golden.inputs[spec.name]
    if any(entry.path == find_levels_path(path) for entry in manifest.files):
        return None
    try:
        row = map_npy(release / path).shape[1:]
    except (OSError, ValueError):  # what is damaged there is no matter of the payload
        return None
    return row if golden.stacked else (1, *row)

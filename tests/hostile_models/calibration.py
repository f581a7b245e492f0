"""The data that all of the files are opened with."""

from pathlib import Path

import numpy as np

from tests.hostile_models.parts import SAMPLE, SAMPLES


def write_calibration(path: Path) -> None:
    """Write samples of the one input."""
    samples = np.random.default_rng(0).standard_normal((SAMPLES, *SAMPLE)).astype(np.float32)
    np.savez(path, input=samples)

"""Differences between the first output and the target "values", element by element."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import Outputs, Targets, take_first, take_target
from ..parts import NUMBERS, describe_rows, refuse_part
from ..targets import Ragged

VALUES = "values"
"""The target: what should have come out `(N, ...)`."""


def read_differences(name: str, outputs: Outputs, targets: Targets) -> Tuple[NDArray[Any], NDArray[Any]]:
    """Return what came out less what should have, and that, both (n, elements); axes of length 1 may be more or fewer.

    Raises ToolchainError (exit 23).
    """
    values, where = take_target(name, targets, VALUES), f"targets: {VALUES}"
    if isinstance(values, Ragged) or values.ndim == 0 or values.dtype.kind not in NUMBERS:
        raise refuse_part(name, where, expected="numbers (N, ...)", found=describe_rows(values))
    if values.size == 0 and len(values):
        raise refuse_part(name, where, expected="at least one number for each sample", found=describe_rows(values))
    if not bool(np.isfinite(values).all()):
        raise refuse_part(name, where, expected="finite numbers", found="NaN or infinity", fix="correct the data")
    found = take_first(name, outputs)
    longer = [tuple(length for length in array.shape[1:] if length != 1) for array in (found, values)]
    if found.ndim == 0 or len(found) != len(values) or longer[0] != longer[1] or found.dtype.kind not in NUMBERS:
        raise refuse_part(
            name, "the first output", expected=f"numbers of shape {values.shape}", found=describe_rows(found)
        )
    truth = values.reshape(len(values), -1 if values.size else 1).astype(np.float64)
    return found.reshape(truth.shape).astype(np.float64) - truth, truth

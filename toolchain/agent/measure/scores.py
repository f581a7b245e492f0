"""Scores of classes: what a classifier returns, and the labels that they are held against."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .metrics import Outputs, Targets, take_first, take_target
from .targets import LABELS, Ragged


def view_scores(array: NDArray[Any]) -> Optional[NDArray[Any]]:
    """Return an output (n, classes), or (n, classes, 1, 1), as (n, classes); None for other shapes."""
    if array.ndim < 2 or not array.shape[1] or array.size != array.shape[0] * array.shape[1]:
        return None
    return array.reshape(array.shape[:2])


def read_scores(name: str, outputs: Outputs, samples: int) -> NDArray[Any]:
    """Return the first output as scores (n, classes), for the metric of this name; raises ToolchainError (exit 23)."""
    first = take_first(name, outputs)
    scores = view_scores(first)
    if scores is None or len(scores) != samples or first.dtype.kind not in "biuf":
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} cannot read the first output",
            where="outputs",
            expected=f"scores of shape ({samples}, classes)",
            found=f"{first.dtype} of shape {first.shape}",
            fix='put the class scores first among the outputs, or set data.metric = "none"',
        )
    return scores


def read_labelled_scores(name: str, outputs: Outputs, targets: Targets) -> Tuple[NDArray[Any], NDArray[Any]]:
    """Return scores (n, classes) and labels (n,), for the metric of this name; raises ToolchainError (exit 23)."""
    labels = take_target(name, targets, LABELS)
    if isinstance(labels, Ragged) or labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = "a ragged target" if isinstance(labels, Ragged) else f"{labels.dtype} of shape {labels.shape}"
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} cannot read the labels",
            where=f"targets: {LABELS}",
            expected="one class number for each sample",
            found=found,
            fix="give integers of shape (N,)",
        )
    return read_scores(name, outputs, len(labels)), labels


def read_scored_sets(name: str, outputs: Outputs, targets: Targets) -> Tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return scores (n, classes) and which classes each sample has (n, classes), for the metric of this name.

    Raises ToolchainError (exit 23).
    """
    labels = take_target(name, targets, LABELS)
    if isinstance(labels, Ragged) or labels.dtype.kind not in "biu" or bool(((labels != 0) & (labels != 1)).any()):
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} cannot read the labels",
            where=f"targets: {LABELS}",
            expected="0 or 1 for each sample and class",
            found="a ragged target" if isinstance(labels, Ragged) else f"{labels.dtype} of shape {labels.shape}",
            fix="give integers of shape (N, classes)",
        )
    scores = read_scores(name, outputs, len(labels))
    if scores.shape != labels.shape:
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} has scores of other classes than the labels",
            where=f"targets: {LABELS}",
            expected=f"shape {scores.shape}",
            found=f"shape {labels.shape}",
            fix="give labels with a column for each class of the model",
        )
    return scores, labels.astype(bool)

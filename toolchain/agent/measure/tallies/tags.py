"""Tags: a class for each token of a sample."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import Outputs, Targets, take_output, take_target
from ..parts import INTEGERS, describe_rows, expect_samples, make_ragged, refuse_part
from ..targets import Ragged, TargetArray

TAGS = "tags"
"""The target and the output: class numbers, `(N, tokens)` or Ragged."""
NO_TAG = -100
"""What a token has in the target that counts for nothing: padding, the pieces of a word after its first (as in PyTorch)."""


def read_tags(name: str, outputs: Outputs, targets: Targets) -> Iterator[Tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the tags that came out and those that should have, without what counts for nothing, of each sample.

    Raises ToolchainError (exit 23).
    """
    truth = _read(name, take_target(name, targets, TAGS), f"targets: {TAGS}")
    found = _read(name, take_output(name, outputs, TAGS, "token_argmax"), f"the output {TAGS}")
    expect_samples(name, found, len(truth), f"the output {TAGS}")
    if not np.array_equal(truth.offsets, found.offsets):
        index = int(np.flatnonzero(np.diff(truth.offsets) != np.diff(found.offsets))[0])
        expected, got = (f"{len(rows.read(index))} tags in sample {index}" for rows in (truth, found))
        raise refuse_part(name, f"the output {TAGS}", expected=expected, found=got)
    for index in range(len(truth)):
        wanted = truth.read(index)
        counts = wanted != NO_TAG
        yield found.read(index)[counts], wanted[counts]


def _read(name: str, rows: TargetArray, where: str) -> Ragged:
    values = rows.values if isinstance(rows, Ragged) else rows
    if values.dtype.kind not in INTEGERS or values.ndim != (1 if isinstance(rows, Ragged) else 2):
        raise refuse_part(name, where, expected="class numbers (N, tokens), or ragged ones", found=describe_rows(rows))
    # Of one type: older numpy compares int64 with uint64 as floats.
    numbers = values.astype(np.int64)
    return Ragged(values=numbers, offsets=rows.offsets) if isinstance(rows, Ragged) else make_ragged(numbers)

"""The shapes of a payload's inputs and outputs: what differs between two, and the batch that they insist on."""

from __future__ import annotations

from typing import Optional, Sequence

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, TensorSpec

# Samples of a run of the evaluation, for its throughput; the activations of 64 images at 224 take some hundred megabytes at the
# most.
EVALUATION_BATCH = 64


def describe_difference(expected: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> Optional[str]:
    """Return the first difference of names, dtypes or shapes in words, or None; an axis of any size fits every size."""
    by_name = {spec.name: spec for spec in found}
    names = sorted(spec.name for spec in expected)
    if sorted(by_name) != names:
        return f"the names are {', '.join(sorted(by_name))}, expected {', '.join(names)}"
    for spec in expected:
        other = by_name[spec.name]
        if spec.dtype != other.dtype:
            return f"{spec.name} is {other.dtype}, expected {spec.dtype}"
        if not spec.takes(other.shape):
            return f"{spec.name} has the shape {other.shape}, expected {spec.shape}"
    return None


def find_fixed_batch(inputs: Sequence[TensorSpec]) -> Optional[int]:
    """Return the size of the first axis that a payload insists on, or None; raises (exit 23) where inputs disagree."""
    sizes = {spec.shape[0] if spec.shape else 0 for spec in inputs} - {None}
    if not sizes:
        return None
    size = sizes.pop()
    if sizes or not size:
        shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs)
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the inputs have no common batch axis",
            where="inputs",
            expected="the same first axis",
            found=shapes,
            fix="export the model with inputs of one batch size, or with a dynamic first axis in each",
        )
    return size


def has_open_batch(manifest: Manifest) -> bool:
    """Return whether a payload of this manifest takes as many samples at once as it is given."""
    return not manifest.golden.stacked and all(spec.shape and spec.shape[0] is None for spec in manifest.inputs)

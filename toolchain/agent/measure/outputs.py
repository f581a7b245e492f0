"""The outputs of a model that a decoder reads: by a name that its options give, else the first."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .parts import NUMBERS, Shape, expect_array


def read_output(
    name: str, outputs: Mapping[str, NDArray[Any]], output: Optional[str], shape: Shape
) -> NDArray[np.float32]:
    """Return an output, None the first, of this shape as float32, for the decoder of this name.

    Raises ToolchainError (exit 23).
    """
    chosen = take(name, outputs, output, "output")
    where = "the first output" if output is None else f"the output {output}"
    return expect_array(name, chosen, where, shape, NUMBERS).astype(np.float32)


def take(name: str, arrays: Mapping[str, NDArray[Any]], key: Optional[str], kind: str) -> NDArray[Any]:
    """Return an output or input by its name, None the first; raises ToolchainError (exit 23) where there is none."""
    if key is None and arrays:
        return next(iter(arrays.values()))
    if key not in arrays or key is None:
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} has no {kind} {key or ''}".rstrip() + " to read",
            where=f"{kind}s",
            expected=key or "at least one",
            found=", ".join(arrays) or "none",
            fix=f"name the {kind} in the options of the decoder",
        )
    return arrays[key]


def list_first(outputs: Sequence[str], output: Optional[str]) -> Sequence[str]:
    """Return the output of this name, None the first."""
    return outputs[:1] if output is None else [output]


def expect_samples_alike(name: str, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return how many samples arrays have; raises ToolchainError (exit 23) where they have different numbers."""
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} has outputs of different numbers of samples",
            where="outputs",
            expected="one number",
            found=", ".join(f"{key}: {length}" for key, length in lengths.items()),
            fix="name the outputs in the options of the decoder",
        )
    return next(iter(lengths.values()))


def apply_sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)), without overflow; NaN stays NaN."""
    smaller = np.exp(-np.abs(values))
    found: NDArray[np.float32] = np.where(values >= 0, 1 / (1 + smaller), smaller / (1 + smaller))
    return found


def apply_softmax(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the softmax along an axis, without overflow; NaN makes the whole row NaN, and so does an infinite largest."""
    with np.errstate(invalid="ignore"):
        raised = np.exp(values - values.max(axis=axis, keepdims=True))
    found: NDArray[np.float32] = raised / raised.sum(axis=axis, keepdims=True)
    return found


def choose_largest(values: NDArray[np.float32], axis: int, broken: int) -> NDArray[np.int64]:
    """Return where the largest value along an axis stands, of equal ones the first; `broken` where there is a NaN."""
    found: NDArray[np.int64] = np.where(np.isnan(values).any(axis=axis), broken, values.argmax(axis=axis))
    return found


def check_words(options: object, **words: Tuple[str, ...]) -> None:
    """Raise ValueError where an option is none of the words that it may be."""
    for option, allowed in words.items():
        if getattr(options, option) not in allowed:
            message = f"{option} one of {', '.join(allowed)}"
            raise ValueError(message)

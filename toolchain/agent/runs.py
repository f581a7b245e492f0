"""How the arrays of a data set become single runs: the one rule for calibration, golden data and latency."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def take_run(array: NDArray[Any], rank: int, index: int) -> NDArray[Any]:
    """Return what run `index` feeds to an input of this rank, or returns from an output of it, at batch 1.

    The first axis of `array` counts samples. Where the other axes are as many as the tensor has, a sample is the
    tensor as it is (a recurrent state (2, N, 128), a scalar); otherwise the tensor's first axis is the batch, and
    a sample becomes a batch of one.
    """
    return array[index] if array.ndim == rank + 1 else array[index : index + 1]


def stack_run(array: NDArray[Any], *, batched: bool) -> NDArray[Any]:
    """Return the output of one run as one sample (1, ...): the reverse of take_run.

    `batched` says that the inputs of the run had a batch axis each; an output keeps its own then, if it has one
    of length 1.
    """
    return array if batched and array.ndim > 0 and array.shape[0] == 1 else array[None]

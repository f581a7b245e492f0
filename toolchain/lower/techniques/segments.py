"""Runs a model layer by layer over a few samples, so that what is learned at one layer reaches all that follow.

The graph is cut behind each layer of interest. All samples pass one segment before the next is opened, and only the
tensors that later segments read are kept: one run of the whole model for each sample, however many layers there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray

from toolchain.lower.cut import PIECES_PER_TRIM, Cut, OpenPiece, Values
from toolchain.lower.each import count_cpus, do_each, take_each
from toolchain.run.heap import trim_heap

# Of tensors between two segments, all samples together: later samples are left out of a model that needs more.
_MEMORY_BYTES = 256 * 2**20


def run_in_segments(
    model: onnx.ModelProto, feeds: Sequence[Mapping[str, NDArray[Any]]], tensors: Collection[str]
) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Yield each of these tensors, in the order of the graph, with its value for each sample.

    What the caller puts into the list takes the value's place for all that follows. What stands between Q/DQ pairs is
    computed in float32, as good as exactly.
    """
    cut = Cut(model, tensors)
    states: list[Values] = [dict(feed) for feed in feeds]
    for segments, piece in enumerate(cut.list_pieces(), start=1):
        states = _run_segment(cut.open(piece, states), states)
        if segments % PIECES_PER_TRIM == 0:
            trim_heap()
        for name in piece.found:
            values = [state[name] for state in states]
            yield name, values
            for state, value in zip(states, values, strict=True):
                state[name] = value
        for state in states:
            for name in piece.found:
                if not cut.is_read_after(name, piece):
                    del state[name]


def _run_segment(segment: OpenPiece, states: list[Values]) -> list[Values]:
    """Return what later segments read of each sample; fewer samples where all would take too much memory."""
    results: list[Values] = []
    for result in do_each(segment.run, take_each(states), workers=count_cpus()):
        results.append(result)
        size_bytes = sum(array.nbytes for array in results[0].values())
        if (len(results) + 1) * size_bytes > _MEMORY_BYTES:
            break
    return results

"""Runs a model layer by layer over a few samples, so that what is learned at one layer reaches all that follow.

The graph is cut behind each layer of interest. All samples pass one segment before the next is opened, and only the
tensors that later segments read are kept: one run of the whole model for each sample, however many layers there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from toolchain.graph.session import HostSession
from toolchain.graph.view import read_names
from toolchain.lower.each import count_cpus, do_each
from toolchain.run.heap import trim_heap

Values = dict[str, NDArray[Any]]

# Of tensors between two segments, all samples together: later samples are left out of a model that needs more.
_MEMORY_BYTES = 256 * 2**20

# What workers free stays with them otherwise: some 300 MB of ViT-S at its end. Behind each segment it would take a third more time.
_SEGMENTS_PER_TRIM = 8


def run_in_segments(
    model: onnx.ModelProto, feeds: Sequence[Mapping[str, NDArray[Any]]], tensors: Collection[str]
) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Yield each of these tensors, in the order of the graph, with its value for each sample.

    What the caller puts into the list takes the value's place for all that follows. What stands between Q/DQ pairs is
    computed in float32, as good as exactly.
    """
    nodes, wanted = list(model.graph.node), set(tensors)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    last_read = {name: index for index, node in enumerate(nodes) for name in read_names(node)}
    states: list[Values] = [dict(feed) for feed in feeds]
    first, segments = 0, 0
    for index, node in enumerate(nodes):
        found = [name for name in node.output if name in wanted]
        if not found:
            continue
        states = _run_segment(model, nodes[first : index + 1], initializers, last_read, index, found, states)
        first, segments = index + 1, segments + 1
        if segments % _SEGMENTS_PER_TRIM == 0:
            trim_heap()
        for name in found:
            values = [state[name] for state in states]
            yield name, values
            for state, value in zip(states, values, strict=True):
                state[name] = value
        for state in states:
            for name in found:
                if last_read.get(name, -1) <= index:
                    del state[name]


def _run_segment(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    initializers: Mapping[str, onnx.TensorProto],
    last_read: Mapping[str, int],
    last: int,
    found: Sequence[str],
    states: list[Values],
) -> list[Values]:
    """Return what later segments read of each sample; fewer samples where all would take too much memory."""
    made = {name for node in nodes for name in node.output if name}
    read = dict.fromkeys(name for node in nodes for name in read_names(node))
    kept = [name for name in made if name in found or last_read.get(name, -1) > last]
    inputs = [name for name in read if name not in made and name not in initializers]
    graph = helper.make_graph(
        nodes,
        "segment",
        [_declare(name, [state[name] for state in states]) for name in inputs],
        [onnx.ValueInfoProto(name=name) for name in kept],
        [initializers[name] for name in read if name in initializers],
    )
    segment = helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    segment.ir_version = model.ir_version
    session = HostSession(segment, arena=False)

    def run(state: Values) -> Values:
        known = {**state, **session.run({name: state[name] for name in inputs})}
        return {name: value for name, value in known.items() if name in found or last_read.get(name, -1) > last}

    results: list[Values] = []
    for result in do_each(run, _take(states), workers=count_cpus()):
        results.append(result)
        size_bytes = sum(array.nbytes for array in results[0].values())
        if (len(results) + 1) * size_bytes > _MEMORY_BYTES:
            break
    return results


def _take(states: list[Values]) -> Iterator[Values]:
    """Yield what is known of each sample, and let go of it: twice, of 32 samples, it would be much."""
    states.reverse()
    while states:
        yield states.pop()


def _declare(name: str, values: Sequence[NDArray[Any]]) -> onnx.ValueInfoProto:
    """Return the input of a segment; an axis whose length differs between samples is left open."""
    shapes = [value.shape for value in values]
    dims = [lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*shapes, strict=True)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[0].dtype), dims)

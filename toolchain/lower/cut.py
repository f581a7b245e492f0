"""Cuts a model behind tensors of interest, and opens each piece by itself: what is known in front of one is all that it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from toolchain.graph.session import HostSession
from toolchain.graph.view import read_names

Values = dict[str, NDArray[Any]]

# What workers free stays with them otherwise: some 300 MB of ViT-S at its end. Behind each piece it would take a third more time.
PIECES_PER_TRIM = 8


@dataclass(frozen=True, eq=False)
class Piece:
    """Neighbouring nodes, the last of which makes tensors of interest."""

    nodes: tuple[onnx.NodeProto, ...]
    found: tuple[str, ...]
    """The tensors of interest that it ends with."""
    last: int
    """The number of its last node in the model."""


@dataclass(frozen=True, eq=False)
class OpenPiece:
    """A piece that runs."""

    session: HostSession
    inputs: tuple[str, ...]
    kept: frozenset[str]
    """What is read behind it, or is of interest."""

    def run(self, known: Values) -> Values:
        """Return what is kept of what was known and of what it makes."""
        made = self.session.run({name: known[name] for name in self.inputs})
        return {name: value for name, value in {**known, **made}.items() if name in self.kept}


class Cut:
    """A model in pieces. What stands between Q/DQ pairs is computed in float32, as good as exactly."""

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Collection[str],
        *,
        to_the_end: Collection[str] = (),
        kept_for: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Cut the model behind each of these tensors that a node makes.

        Others are let go behind their last reader, but for those of to_the_end, and the first of each pair of kept_for, which is
        known until the second is made.
        """
        self._model = model
        self._nodes = list(model.graph.node)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._last_read = {name: index for index, node in enumerate(self._nodes) for name in read_names(node)}
        self._last_read.update(dict.fromkeys(to_the_end, len(self._nodes)))
        made_by = {name: index for index, node in enumerate(self._nodes) for name in node.output}
        for name, later in kept_for:
            self._last_read[name] = max(self._last_read.get(name, -1), made_by[later])
        self._wanted = set(tensors)

    def list_pieces(self) -> Iterator[Piece]:
        """Yield the pieces in the order of the graph; what stands behind the last tensor of interest is in none."""
        first = 0
        for index, node in enumerate(self._nodes):
            found = tuple(name for name in node.output if name in self._wanted)
            if found:
                yield Piece(tuple(self._nodes[first : index + 1]), found, index)
                first = index + 1

    def is_read_after(self, name: str, piece: Piece) -> bool:
        """Return whether a tensor is needed behind a piece."""
        return self._last_read.get(name, -1) > piece.last

    def open(self, piece: Piece, states: Sequence[Mapping[str, NDArray[Any]]], *, any_shape: bool = False) -> OpenPiece:
        """Open a piece; states: what is known in front of it, of one sample or several, for types and shapes.

        any_shape: other samples, of other lengths, are to come.
        """
        made = {name for node in piece.nodes for name in node.output if name}
        read = dict.fromkeys(name for node in piece.nodes for name in read_names(node))
        inputs = tuple(name for name in read if name not in made and name not in self._initializers)
        outputs = [name for name in made if name in piece.found or self.is_read_after(name, piece)]
        constants = [self._initializers[name] for name in read if name in self._initializers]
        given = {name: [state[name] for state in states] for name in inputs}
        session = open_nodes(self._model, piece.nodes, constants, given, outputs, any_shape=any_shape)
        kept = {*outputs, *(name for name in states[0] if self.is_read_after(name, piece))}
        return OpenPiece(session, inputs, frozenset(kept))


def open_nodes(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    given: Mapping[str, Sequence[NDArray[Any]]],
    outputs: Sequence[str],
    *,
    any_shape: bool = False,
) -> HostSession:
    """Open nodes of a model by themselves; given: their inputs, of one sample or several, for types and shapes."""
    inputs = [_declare(name, values, any_shape=any_shape) for name, values in given.items()]
    graph = helper.make_graph(
        nodes, "piece", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], list(constants)
    )
    piece = helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    piece.ir_version = model.ir_version
    return HostSession(piece, arena=False)


def _declare(name: str, values: Sequence[NDArray[Any]], *, any_shape: bool) -> onnx.ValueInfoProto:
    """Return the input of a piece; an axis whose length differs between samples is left open."""
    shapes = [value.shape for value in values]
    dims = [lengths[0] if len(set(lengths)) == 1 and not any_shape else None for lengths in zip(*shapes, strict=True)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[0].dtype), dims)

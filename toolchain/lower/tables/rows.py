"""A table of which a Gather takes rows, stored as integers with a scale for each row.

    Gather(table, i)   becomes   Mul(Cast(Gather(values, i)), Gather(scales, i))

values: int8, shaped as the table (rows, ...); scales: float32, (rows, 1, ...). These are operators that every CPU has in
ONNX Runtime, and what they return is float32(integer) * scale to the last bit. A DequantizeLinear in front of the Gather
would make the whole table float in each run, one with a scale for each column takes longer and keeps less, and
GatherBlockQuantized takes as long (`python -m benchmarks.kernels`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, attribute_int, read_names
from toolchain.lower.affine import quantize_weight

# A table that saves less is not worth the three nodes that stand for one.
SAVED_MIN_BYTES = 2**16

_BITS = 8


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it is stored in int8."""

    name: str
    """Of the float initializer."""
    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    """(rows, 1, ...), as many axes as the values."""

    @property
    def saved_bytes(self) -> int:
        """How much smaller it is than in float32."""
        return _count_saved(self.values.shape)


def find_tables(model: onnx.ModelProto, keep_float: Collection[str] = ()) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the tables that can be int8, and for each other one that is as large why it stays in float, by name.

    keep_float: names of nodes whose table stays as it is. A table is a float32 constant of two axes or more of which a
    Gather takes rows.
    """
    view = GraphView.from_model(model)
    seen = view.output_names | {value.name for value in model.graph.input}
    found: list[str] = []
    reasons: dict[str, str] = {}
    for name, tensor in view.initializers.items():
        readers = view.consumers.get(name, ())
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or _count_saved(tensor.dims) < SAVED_MIN_BYTES:
            continue
        if not any(_takes_rows(reader, name) for reader in readers):
            continue
        reason = _find_obstacle(view, name, readers, keep_float, is_seen=name in seen)
        if reason is None:
            found.append(name)
        else:
            reasons[name] = reason
    return tuple(found), reasons


def quantize_table(model: onnx.ModelProto, name: str) -> Table:
    """Return a table of the model in int8; a row of zeros has a scale of 1."""
    table = numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))
    made = quantize_weight(table, axis=0, bits=_BITS, input_scale=np.float32(1), bias=None)
    return Table(name, made.values, made.scales.reshape(-1, *[1] * (table.ndim - 1)))


def write_tables(model: onnx.ModelProto, tables: Sequence[Table]) -> onnx.ModelProto:
    """Return a copy of the model with these tables in int8; the model itself for none."""
    if not tables:
        return model
    names, by_name = OnnxNames.from_model(model), {table.name: table for table in tables}
    nodes = [made for node in model.graph.node for made in _write_node(node, by_name, names)]
    read = {name for node in nodes for name in read_names(node)} | {value.name for value in model.graph.output}
    result = copy_without_weights(model)
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    for table in tables:
        for part, values in (("rows", table.values), ("row_scales", table.scales)):
            result.graph.initializer.append(numpy_helper.from_array(values, names.derive(table.name, part)))
    return result


def _write_node(node: onnx.NodeProto, tables: Mapping[str, Table], names: OnnxNames) -> Iterator[onnx.NodeProto]:
    """Yield what stands for a node; the last has its name and returns its tensor."""
    table = tables.get(node.input[0]) if node.op_type == "Gather" else None
    if table is None:
        yield node
        return
    taken, scale, wide = (names.derive(node.output[0], part) for part in ("rows", "row_scales", "wide"))
    indices = node.input[1]
    yield helper.make_node("Gather", [names.derive(table.name, "rows"), indices], [taken], taken)
    yield helper.make_node("Gather", [names.derive(table.name, "row_scales"), indices], [scale], scale)
    yield helper.make_node("Cast", [taken], [wide], wide, to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [wide, scale], list(node.output), node.name)


def _takes_rows(node: onnx.NodeProto, table: str) -> bool:
    return node.op_type == "Gather" and node.input[0] == table and attribute_int(node, "axis", 0) == 0


def _find_obstacle(
    view: GraphView, name: str, readers: Sequence[onnx.NodeProto], keep_float: Collection[str], *, is_seen: bool
) -> str | None:
    if is_seen:
        return "it is an input or output of the model too"
    other = next((reader for reader in readers if not _takes_rows(reader, name)), None)
    if other is not None:
        return f"{other.name} ({other.op_type}) reads it too: in both forms it would be larger"
    if kept := [reader.name for reader in readers if reader.name in keep_float]:
        return f"the recipe keeps {kept[0]} in float"
    if not np.isfinite(numpy_helper.to_array(view.initializers[name])).all():
        return "it holds NaN or infinity"
    return None


def _count_saved(shape: Sequence[int]) -> int:
    elements = int(np.prod(shape, dtype=np.int64))
    return 3 * elements - 4 * int(shape[0])  # of each element three bytes of four, less a scale for each row

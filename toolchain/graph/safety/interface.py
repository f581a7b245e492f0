"""What a caller sees of a model: its inputs and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet

import onnx
from onnx import helper

from toolchain.agent.manifest import DTYPES
from toolchain.errors import malformed

# Some exporters write it for a length that is not known, and runtimes read it so.
_UNKNOWN = -1


def check_interface(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) what nobody can feed or compare: an output that is listed twice, and types and lengths of nothing."""
    names = Counter(value.name for value in model.graph.output)
    if twice := [name for name, times in names.items() if times > 1]:
        raise malformed(
            "the model has two outputs of one name",
            where=f"{where}: {twice[0]!r}",
            expected="each output once",
            found=str(names[twice[0]]),
            fix="export the model again with a name for each output",
        )
    weights = {tensor.name for tensor in model.graph.initializer}  # which exporters list among the inputs
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type.elem_type  # 0 where nothing is said
        if kind not in onnx.TensorProto.DataType.values():
            raise malformed(
                "an input or output of the model has no known type",
                where=f"{where}: {value.name!r}",
                found=str(kind),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model again with an older type",
            )
        _check_numbers(value, kind, weights, where)
        lengths = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if (least := min(lengths, default=0)) < _UNKNOWN:
            raise malformed(
                "an input or output of the model has an axis of negative length",
                where=f"{where}: {value.name!r}",
                expected="a length, or a name for one that is not known",
                found=str(least),
                fix="export the model again with a name for that axis",
            )


def _check_numbers(value: onnx.ValueInfoProto, kind: int, weights: AbstractSet[str], where: str) -> None:
    """Refuse what is no tensor, or one of strings and of types that numpy does not have."""
    is_tensor = value.type.WhichOneof("value") in ("tensor_type", None)
    if is_tensor and (not kind or value.name in weights or str(helper.tensor_dtype_to_np_dtype(kind)) in DTYPES):
        return
    name = str(onnx.TensorProto.DataType.Name(kind)).lower() if is_tensor else value.type.WhichOneof("value")
    raise malformed(
        "an input or output of the model is no tensor of numbers",
        where=f"{where}: {value.name!r}",
        expected=f"a tensor of {', '.join(DTYPES)}",
        found=name.replace("_", " "),
        fix="remove it from the graph, or convert it (Cast) to one of these, and export the model again",
    )

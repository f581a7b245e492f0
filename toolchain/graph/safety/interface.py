"""What a caller sees of a model: its inputs and outputs."""

from __future__ import annotations

from collections import Counter

import onnx

from toolchain.errors import malformed

# Some exporters write it for a length that is not known, and runtimes read it so.
_UNKNOWN = -1


def check_interface(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) an output that is listed twice, of which answers have room for one, and types and lengths of nothing."""
    names = Counter(value.name for value in model.graph.output)
    if twice := [name for name, times in names.items() if times > 1]:
        raise malformed(
            "the model has two outputs of one name",
            where=f"{where}: {twice[0]!r}",
            expected="each output once",
            found=str(names[twice[0]]),
            fix="export the model again with a name for each output",
        )
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type.elem_type  # 0 where nothing is said
        if kind not in onnx.TensorProto.DataType.values():
            raise malformed(
                "an input or output of the model has no known type",
                where=f"{where}: {value.name!r}",
                found=str(kind),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model again with an older type",
            )
        lengths = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if (least := min(lengths, default=0)) < _UNKNOWN:
            raise malformed(
                "an input or output of the model has an axis of negative length",
                where=f"{where}: {value.name!r}",
                expected="a length, or a name for one that is not known",
                found=str(least),
                fix="export the model again with a name for that axis",
            )

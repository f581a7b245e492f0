"""Names, descriptions and metadata."""

from collections.abc import Callable
from pathlib import Path

import onnx

from tests.hostile_models.family import Family
from tests.hostile_models.parts import INPUT, OUTPUT, WEIGHTS, const, conv, good, model, node, value


def _good(_: Path) -> onnx.ModelProto:
    made = good()
    made.doc_string = "x" * 100_000
    made.graph.node[0].name = "Schicht-1/\u03b1\u4e2d\u6587 \U0001f600"
    made.metadata_props.add(key="author", value="\u00e9")
    return made


FAMILY = Family("text", _good)
_BAD = b"\xff\xfe\xc3\x28"


def _rename(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], bytes]:
    """Return a maker: what the change calls `evil` becomes bytes that are not UTF-8."""

    def make(_: Path) -> bytes:
        made = good()
        change(made)
        return made.SerializeToString().replace(b"evil", _BAD)

    return make


def _name_tensor(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].name = made.graph.node[0].input[1] = "evil"


def _name_input(made: onnx.ModelProto) -> None:
    made.graph.input[0].name = made.graph.node[0].input[0] = "evil"


def _name_output(made: onnx.ModelProto) -> None:
    made.graph.output[0].name = made.graph.node[0].output[0] = "evil"


def _name_axis(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "evil"


_TEXTS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "tensor": _name_tensor,
    "input": _name_input,
    "output": _name_output,
    "axis": _name_axis,
    "node": lambda made: setattr(made.graph.node[0], "name", "evil"),
    "operator": lambda made: setattr(made.graph.node[0], "op_type", "evil"),
    "domain": lambda made: setattr(made.graph.node[0], "domain", "evil"),
    "graph": lambda made: setattr(made.graph, "name", "evil"),
    "description": lambda made: setattr(made, "doc_string", "evil"),
    "producer": lambda made: setattr(made, "producer_name", "evil"),
    "metadata": lambda made: made.metadata_props.add(key="evil", value="evil"),
    "opset": lambda made: made.opset_import.add(domain="evil", version=1),
    "attribute": lambda made: setattr(made.graph.node[0].attribute[0], "name", "evil"),
    "value": lambda made: made.graph.node[0].attribute.add(name="auto_pad", type=3, s=b"evil"),
}
for _name, _change in _TEXTS.items():
    FAMILY.add(f"not_utf8_{_name}", "a text that is not UTF-8 where readers decode it", _rename(_change))


@FAMILY.kind("a string of a tensor that is not UTF-8")
def _not_utf8_string(_: Path) -> onnx.ModelProto:
    tensor = onnx.TensorProto(name="s", data_type=onnx.TensorProto.STRING, dims=[1], string_data=[_BAD])
    return model([conv()], [WEIGHTS, tensor])


@FAMILY.kind("a name of 1 MiB, which every message and table would print")
def _name_1_mib(_: Path) -> onnx.ModelProto:
    made = good()
    made.graph.node[0].name = "n" * 2**20
    return made


@FAMILY.kind("an operator of control letters, which a message about it would send to the terminal")
def _operator_of_control_letters(_: Path) -> onnx.ModelProto:
    return model([node("Foo\x1b[2J\x1b]0;owned\x07\n\u202eevil<script>", ["input"], ["out"])], [])


@FAMILY.kind("an input named as a path out of the folder, which no data has")
def _input_traversal(_: Path) -> onnx.ModelProto:
    name = "../../x"
    return model([conv(read=name)], inputs=[value(name, shape=["n", 3, 8, 8])])


@FAMILY.kind("an output without a name")
def _output_without_name(_: Path) -> onnx.ModelProto:
    return model([conv(made="")], outputs=[value("")])


@FAMILY.kind("a description of 50 MB, copied by every pass")
def _description_50_mb(_: Path) -> onnx.ModelProto:
    made = good()
    made.doc_string = "A" * 50_000_000
    return made


@FAMILY.kind("200,000 entries of metadata")
def _metadata_200k(_: Path) -> onnx.ModelProto:
    made = good()
    for index in range(200_000):
        made.metadata_props.add(key=f"k{index}", value="v" * 100)
    return made


@FAMILY.kind("our own entry of learned ranges, nested beyond what parsers follow")
def _metadata_ranges_nested(_: Path) -> onnx.ModelProto:
    made = good()
    made.metadata_props.add(key="edge_toolchain.ranges", value="[" * 200_000)
    return made


@FAMILY.kind("our own entry of learned ranges, of tensors that are not there, from NaN to infinity")
def _metadata_ranges_infinite(_: Path) -> onnx.ModelProto:
    made = good()
    made.metadata_props.add(key="edge_toolchain.ranges", value='{"tensors": {"input": [NaN, 1e999]}, "weight_bits": 8}')
    return made


@FAMILY.kind("20,000 inputs, which a message would list")
def _inputs_20k(_: Path) -> onnx.ModelProto:
    return model([conv()], inputs=[INPUT, *(value(f"i{index}", shape=[1]) for index in range(20_000))])


@FAMILY.kind("20,000 outputs, each an array of every answer")
def _outputs_20k(_: Path) -> onnx.ModelProto:
    names = [f"o{index}" for index in range(20_000)]
    split = node("Split", ["many"], names, axis=0, num_outputs=len(names))
    outputs = [OUTPUT, *(value(name, shape=[1]) for name in names)]
    return model([conv(), split], [WEIGHTS, const("many", [0] * len(names))], outputs=outputs)

"""The plan without data is that of the lowering: the same layers, for every runtime of ours."""

import onnx
import pytest

from tests.conftest import build_model
from toolchain.graph.node_names import name_nodes
from toolchain.lower.preview import preview_int8
from toolchain.project.members import list_members
from toolchain.project.seams import LOWERINGS


@pytest.mark.parametrize("runtime", [name for name, member in list_members(LOWERINGS).items() if member.is_ours])
def test_every_runtime_of_ours_tells_its_plan(runtime):
    preview = preview_int8(runtime, name_nodes(onnx.load_from_string(build_model("float32"))))
    assert (len(preview.int8), preview.kept_in_float, preview.refused) == (2, {}, None)


def test_a_runtime_does_not_take_what_its_lowering_refuses():
    text = '<ir_version: 9, opset_import: ["" : 17]> net (float[1,4] x) => (float[1,4] y) { y = Bernoulli (x) }'
    model = name_nodes(onnx.parser.parse_model(text))
    assert "Bernoulli" in preview_int8("tensorrt", model).refused
    assert preview_int8("onnxruntime", model).refused is None

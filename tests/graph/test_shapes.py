import numpy as np
from onnx import helper, numpy_helper, parser

from toolchain.graph.shapes import infer_ranks, infer_shapes

MODEL = """<ir_version: 10, opset_import: ["": 21]>
g (float[N, 3, 8, 8] x, int64[R] shape) => (float[N, 10] y, float z) <float[192, 10] w>
{ a = Flatten (x) y = MatMul (a, w) b = Reshape (x, shape) c = Neg (b) z = ReduceSum <keepdims = 0> (x) }"""


def make():
    model = parser.parse_model(MODEL)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((192, 10), np.float32), "w"))
    return model


def test_ranks_are_those_that_follow_and_no_others():
    ranks = infer_ranks(make())
    assert {name: ranks[name] for name in ("x", "a", "y", "z")} == {"x": 4, "a": 2, "y": 2, "z": 0}
    assert "b" not in ranks
    assert "c" not in ranks


def test_shapes_are_inferred_without_the_large_weights_and_leave_the_model_alone():
    model = make()
    before = model.SerializeToString(deterministic=True)
    graph = infer_shapes(model)
    assert not next(tensor for tensor in graph.initializer if tensor.name == "w").raw_data
    assert helper.printable_type(next(value.type for value in graph.value_info if value.name == "a")).endswith("192")
    assert model.SerializeToString(deterministic=True) == before

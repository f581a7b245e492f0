"""The roofs of a board: of real products and copies, never nothing."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from toolchain.agent.measure.onnxruntime_peaks import MATMUL_FLOAT, MATMUL_INT8
from toolchain.agent.measure.runtimes import onnxruntime


def make_product(op, left, right, made):
    sides = (("a", left, ["m", "k"]), ("b", right, ["k", "n"]))
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in sides]
    outputs = [helper.make_tensor_value_info("c", made, ["m", "n"])]
    graph = helper.make_graph([helper.make_node(op, ["a", "b"], ["c"])], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="")


@pytest.mark.parametrize(
    ("data", "made"),
    [
        (MATMUL_FLOAT, make_product("MatMul", *[TensorProto.FLOAT] * 3)),
        (MATMUL_INT8, make_product("MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32)),
    ],
    ids=["float", "int8"],
)
def test_the_bytes_of_a_product_are_what_onnx_makes(data, made):
    assert onnx.load_from_string(data) == made


@pytest.mark.parametrize("threads", [1, 2])
def test_every_roof_is_a_speed_and_the_copy_has_a_least_size(threads):
    peaks = onnxruntime.measure_peaks(threads, 1)
    assert min(peaks.float_gmacs, peaks.int8_gmacs, peaks.memory_gb_s) > 0
    assert peaks.copy_bytes == 1 << 18

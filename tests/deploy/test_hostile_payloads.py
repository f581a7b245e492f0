"""Payloads of a stranger's bundle that never end, or take all memory: each ends in a refusal, and in bounded time."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.agent.measure.settings import DEFAULTS
from toolchain.deploy import agent_limits
from toolchain.deploy.local import measure_folder
from toolchain.errors import ExitCode, ToolchainError

INPUT = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 8, 8])
OUTPUT = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 4])


def make_model(nodes, **constants):
    """Return a classifier of means, which adds to them the one value of "extra" that these nodes make of the input."""
    shared = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "extra"], ["logits"]),
    ]
    arrays = {"weights": np.ones((3, 4), np.float32), **constants}
    inits = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph([*nodes, *shared], "net", [INPUT], [OUTPUT], inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def make_loop(trips):
    """Return a model that takes the sine of a million numbers so many times; they depend on the input, so nothing is folded."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_"]), helper.make_node("Sin", ["value"], ["value_"])],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1000, 1000]),
        ],
        [
            helper.make_tensor_value_info("on_", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_", TensorProto.FLOAT, [1000, 1000]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "size"], ["row"]),
        helper.make_node("Loop", ["trips", "true", "row"], ["sines"], body=body),
        helper.make_node("ReduceMean", ["sines"], ["extra"], keepdims=0),
    ]
    return make_model(nodes, trips=np.int64(trips), true=np.bool_(True), size=np.array([1000, 1000]))


def make_range(factor):
    """Return a model that makes a row of numbers, as long as the input has samples by this factor."""
    nodes = [
        helper.make_node("Shape", ["input"], ["shape"], start=0, end=1),
        helper.make_node("Mul", ["shape", "factor"], ["length"]),
        helper.make_node("Expand", ["one", "length"], ["row"]),
        helper.make_node("Sin", ["row"], ["sines"]),
        helper.make_node("ReduceMean", ["sines"], ["extra"], keepdims=0),
    ]
    return make_model(nodes, factor=np.array([factor], np.int64), one=np.array([1.0], np.float32))


@pytest.fixture
def measure(make_bundle, tmp_path, monkeypatch):
    """Return a function that measures a bundle of one model, with 3 s for a step."""
    monkeypatch.setattr(agent_limits, "_STEP_BASE_S", 3.0)
    monkeypatch.setattr(agent_limits, "_STEP_PER_BATCH_MB_S", 0.0)

    def run(model):
        path = tmp_path / "hostile.onnx"
        onnx.save(model, path)
        bundle = make_bundle(candidates={"float32": path}, reference=path, original=path)
        return measure_folder(bundle, DEFAULTS, lambda step, done, total: None)

    return run


@pytest.mark.parametrize("model", [make_loop(3), make_range(1000)], ids=["loop", "memory"])
def test_a_model_of_its_kind_that_ends_is_measured(measure, model):
    assert measure(model).document["record"]["candidates"][0]["evaluation"]["samples"] == 70


@pytest.mark.parametrize(
    ("model", "found"),
    [(make_loop(2**62), "no end"), (make_range(2**26), "MB")],
    ids=["a loop without end", "16 GB of numbers"],
)
def test_a_payload_that_takes_all_there_is_is_ended_and_refused(measure, model, found):
    with pytest.raises(ToolchainError) as caught:
        measure(model)
    assert caught.value.code == ExitCode.MALFORMED
    assert found in caught.value.found

"""A small net with what correction must live with: a depthwise layer, a dead channel, a Clip, a product with an Add."""

from functools import partial

import numpy as np
import pytest
from onnx import numpy_helper

from tests.lower.conftest import observe_ranges, parse_model
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.lower.techniques.subject import Subject
from toolchain.lower.trial import Bench

NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 3, 8, 8] image) => (float[n, 5] scores)
<float[16, 3, 3, 3] w1, float[16] b1, float[16, 1, 3, 3] w2, float[16] b2, float[8, 16, 1, 1] w3, float[8, 5] w4,
 float[5] b4, int64[2] axes = {2, 3}>
{
    [conv] c1 = Conv<pads = [1, 1, 1, 1]>(image, w1, b1)
    [clip] r1 = Relu(c1)
    [depthwise] c2 = Conv<group = 16, pads = [1, 1, 1, 1]>(r1, w2, b2)
    [relu] r2 = Relu(c2)
    [pointwise] c3 = Conv(r2, w3)
    [mean] f = ReduceMean<keepdims = 0>(c3, axes)
    [product] p = MatMul(f, w4)
    [add] scores = Add(p, b4)
}
"""


@pytest.fixture
def net():
    """Return a net whose third channel is dead, and whose channels differ in size as those of a depthwise net do."""
    model = parse_model(NET)
    sizes = np.exp(np.random.default_rng(5).normal(0, 1.5, 16)).astype(np.float32)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in {"w1", "b1"}:
            values *= sizes.reshape(-1, *[1] * (values.ndim - 1))
            values[2] = 0
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


@pytest.fixture
def samples():
    images = np.random.default_rng(7).standard_normal((96, 1, 3, 8, 8)).astype(np.float32)
    return [{"image": image} for image in images]


@pytest.fixture
def subject(net, samples):
    """Return the net in 5-bit weights, which leave something to correct, with biases that rounding leaves alone."""
    policy = int8_policy(Scheme("uint8", symmetric=False, weight_bits=5, reason="", int32_bias=False), kernels=None)
    whole = {"image": np.concatenate([sample["image"] for sample in samples])}
    ranges = observe_ranges(net, whole, plan_int8(net).tensors)
    bench = Bench(model=net, build=partial(policy.write, net, ranges), feeds=(), references=()).on(samples[:32])
    return Subject(bench, policy, plan_int8(net), ranges, samples[64:], frozenset())

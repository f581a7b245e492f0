"""What a policy writes does not depend on how it passes large weights by."""

from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest

from tests.lower.conftest import RESIDUAL, parse_model
from tests.lower.test_int8 import CANCELLING, CELL
from toolchain.graph import set_aside
from toolchain.lower import policy as policy_module
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.dynamic.plan import plan_dynamic
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy

TIED = """
<ir_version: 10, opset_import: ["": 21]>
net (int64[n] tokens) => (float[n, 12] y) <float[12, 8] table, float[8, 8] w1, float[8, 8] w2> {
    [embed] e = Gather(table, tokens) [first] a = MatMul(e, w1) [second] b = MatMul(a, w2)
    [turn] t = Transpose<perm = [1, 0]>(table) [head] y = MatMul(b, t)
}
"""


@pytest.mark.parametrize(
    ("text", "keep", "is_shorter"),
    [
        (RESIDUAL, {"conv2", "gemm"}, True),
        (RESIDUAL, {"gemm"}, False),
        (CANCELLING, {"first", "second"}, True),
        (CELL, {"head"}, False),
        (CELL, {"cell"}, False),
        (TIED, {"first", "second"}, True),
        (TIED, {"head", "first"}, False),
    ],
)
@pytest.mark.parametrize("dynamic", [True, False])
def test_weights_that_go_around_the_writers_come_out_as_those_that_go_through(
    scheme, monkeypatch, text, keep, is_shorter, dynamic
):
    """A wrong one would be an int8 model of other weights than those that were tried."""
    model, policy = parse_model(text), int8_policy(scheme)
    if dynamic:
        policy = replace(policy, plan=partial(plan_dynamic, policy.plan))
    plan = policy.plan(model, frozenset(keep))
    ranges = dict.fromkeys(plan.tensors, TensorRange(-3.0, 3.0))
    adjustment = Adjustment(
        shifts={node.name: np.float32([0.5]) for node in plan.nodes if node.weight and node.op_type != "LSTM"}
    )
    around, written = [], {}

    def put_back(made, own, names):
        around.append(names)
        return set_aside.put_weights_back(made, own, names)

    monkeypatch.setattr(policy_module, "put_weights_back", put_back)
    for way, least_bytes in (("around", 1), ("through", 2**60)):
        monkeypatch.setattr(set_aside, "ASIDE_MIN_BYTES", least_bytes)
        made = policy.write(model, ranges, frozenset(keep), adjustment=adjustment)
        onnx.checker.check_model(made, full_check=True)
        written[way] = list(made.graph.node), {tensor.name: tensor for tensor in made.graph.initializer}
    assert written["around"] == written["through"]
    assert (len(around) == 1) == is_shorter

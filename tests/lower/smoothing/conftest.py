"""A feed-forward block behind a LayerNormalization, as text; its gamma decides whether there are channels of outliers."""

import numpy as np
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model

HEAD = '<ir_version: 10, opset_import: ["": 21]> '
OUTLIERS = (5, 17)


def make_block(*, outliers, residual=False):
    """Return the block, and its constants by name; a residual reads the normalized tensor too."""
    join = "[join] y = Add(d, h)" if residual else "[join] y = Identity(d)"
    model = parse_model(
        HEAD
        + f"""block (float[n, s, 32] x) => (float[n, s, 32] y)
        <float[32] gamma, float[32] beta, float[32, 64] up, float[32, 64] gate, float[32, 64] w, float[64, 32] down> {{
        [norm] h = LayerNormalization<axis = -1>(x, gamma, beta) [rise] u = MatMul(h, up) [open] g = MatMul(h, gate)
        [act] s = Sigmoid(g) [gated] v = Mul(u, s) [fall] d = MatMul(v, down) {join} }}"""
    )
    rng = np.random.default_rng(7)
    gamma = rng.uniform(0.5, 1.5, 32).astype(np.float32)
    if outliers:
        gamma[list(OUTLIERS)] = [60.0, 45.0]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors["gamma"].CopyFrom(numpy_helper.from_array(gamma, "gamma"))
    if outliers:
        # What a trained net does about large channels: its weights for them are small.
        for name in ("up", "gate"):
            weight = numpy_helper.to_array(tensors[name]).copy()
            weight[list(OUTLIERS)] /= 40
            tensors[name].CopyFrom(numpy_helper.from_array(weight, name))
    return model, {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}


@pytest.fixture
def feeds():
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, 8, 32)).astype(np.float32)} for _ in range(48)]

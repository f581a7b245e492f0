"""Small transformers' parts, as text."""

import numpy as np
import pytest

from tests.lower.conftest import parse_model

HEAD = '<ir_version: 10, opset_import: ["": 21]> '

ATTENTION = (
    HEAD
    + """block (float[n, s, 64] x) => (float[n, s, 64] y)
    <float[64, 64] wq, float[64, 64] wk, float[64, 64] wv, float[64] bq, float[64, 64] wo> {
    [query] q0 = MatMul(x, wq) [query_bias] q = Add(q0, bq) [key] k = MatMul(x, wk) [value] v = MatMul(x, wv)
    [turn] kt = Transpose<perm = [0, 2, 1]>(k) [scores] a = MatMul(q, kt) [soft] p = Softmax<axis = -1>(a)
    [mix] m = MatMul(p, v) [join] y = MatMul(m, wo) }"""
)


@pytest.fixture
def attention():
    return parse_model(ATTENTION)


@pytest.fixture
def sequences():
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(size=(1, 6, 64)).astype(np.float32)} for _ in range(16)]

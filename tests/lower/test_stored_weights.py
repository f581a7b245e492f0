import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from toolchain.graph.session import open_as_board
from toolchain.lower.stored_weights import StoredWeights

TWO_LARGE = """
<ir_version: 10, opset_import: ["": 21]>
net (float[1, 600] x) => (float[1, 600] y)
<float[600, 600] w1, float[600, 600] w2, float[600] small>
{ a = MatMul(x, w1) b = Add(a, small) y = MatMul(b, w2) }
"""


@pytest.fixture
def model():
    return parse_model(TWO_LARGE)


@pytest.fixture
def feed():
    return {"x": np.random.default_rng(3).standard_normal((1, 600)).astype(np.float32)}


def test_a_model_written_beside_its_weights_is_small_and_computes_the_same(model, feed, tmp_path):
    path = StoredWeights(model, tmp_path).write(model, "trial.onnx")
    assert path.stat().st_size < 10_000
    np.testing.assert_array_equal(open_as_board(path, threads=1).run(feed)["y"], run_model(model, feed)["y"])


def test_a_weight_of_the_same_name_and_other_values_is_written_and_not_the_stored_one(model, feed, tmp_path):
    weights = StoredWeights(model, tmp_path)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    tensor = next(tensor for tensor in other.graph.initializer if tensor.name == "w2")
    values = numpy_helper.to_array(tensor).copy()
    values[-1, -1] += 1.0
    tensor.CopyFrom(numpy_helper.from_array(values, "w2"))
    found = open_as_board(weights.write(other, "trial.onnx"), threads=1).run(feed)["y"]
    np.testing.assert_array_equal(found, run_model(other, feed)["y"])
    assert not np.array_equal(found, run_model(model, feed)["y"])


def test_the_model_that_is_written_stays_as_it_is(model, tmp_path):
    before = model.SerializeToString()
    StoredWeights(model, tmp_path).write(model, "trial.onnx")
    assert model.SerializeToString() == before

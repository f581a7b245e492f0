import onnx
import pytest

from tests.lower.conftest import parse_model
from toolchain.graph.input_defaults import settle_defaults


def make(ir_version=10):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[n, 4] x) => (float[n, 4] y) <float[4] w, float[4] b> '
        "{ a = Mul(x, w) y = Add(a, b) }"
    )
    model.ir_version = ir_version
    for name in ("w", "b"):
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]))
    return model


def list_names(values):
    return [value.name for value in values]


def test_a_default_that_nothing_feeds_is_a_constant():
    settled = settle_defaults(make(), {"x"})
    assert (settled.constants, settled.fed) == (("w", "b"), ())
    assert list_names(settled.model.graph.input) == ["x"]
    assert list_names(settled.model.graph.initializer) == ["w", "b"]


def test_a_default_that_the_data_feeds_is_an_input():
    settled = settle_defaults(make(), {"x", "b"})
    assert (settled.constants, settled.fed) == (("w",), ("b",))
    assert list_names(settled.model.graph.input) == ["x", "b"]
    assert list_names(settled.model.graph.initializer) == ["w"]
    onnx.checker.check_model(settled.model, full_check=True)


@pytest.mark.parametrize(
    "model",
    [
        make(ir_version=3),
        parse_model(
            '<ir_version: 10, opset_import: ["": 21]> g (float[n, 4] x) => (float[n, 4] y) <float[4] w> { y = Mul(x, w) }'
        ),
    ],
)
def test_a_model_without_defaults_or_from_before_there_were_any_is_left_alone(model):
    assert settle_defaults(model, {"x"}).model is model

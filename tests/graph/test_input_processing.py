import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.sensors import CAMERA, MICROPHONE, change_camera, draw_pixels
from toolchain.data.process_input import process_input
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.input_processing import put_input_in_front
from toolchain.graph.parity import check_float_parity
from toolchain.graph.session import HostSession

PIXELS = draw_pixels()


def make_model(shape=("N", 3, 4, 6), element=TensorProto.FLOAT):
    """Return y = -x, of which every element shows."""
    value = helper.make_tensor_value_info("input", element, shape)
    output = helper.make_tensor_value_info("output", element, shape)
    graph = helper.make_graph([helper.make_node("Neg", ["input"], ["output"], "neg")], "g", [value], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(model, **arrays):
    onnx.checker.check_model(model, full_check=True)
    return HostSession(model).run(arrays)


def list_operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("model_layout", ["NHWC", "NCHW"])
def test_the_graph_makes_of_bytes_what_numpy_does(colour, layout, model_layout):
    spec = change_camera(colour=colour, layout=layout, graph={"model_layout": model_layout})
    shape = ("N", 3, 4, 6) if model_layout == "NCHW" else ("N", 4, 6, 3)
    model = put_input_in_front(make_model(shape), spec)
    numbers = np.ascontiguousarray(PIXELS if layout == "NHWC" else PIXELS.transpose(0, 3, 1, 2))
    found = run(model, input=numbers)["output"]
    assert np.allclose(found, -process_input(numbers, spec), atol=1e-6)
    assert (layout != model_layout) is ("Transpose" in list_operators(model))
    assert (colour == "BGR") is ("Gather" in list_operators(model))


def test_nothing_is_put_in_that_changes_nothing():
    spec = change_camera(colour="RGB", layout="NCHW", graph={"scale": 1.0, "mean": (0.0,), "std": (1.0,)})
    assert list_operators(put_input_in_front(make_model(), spec)) == ["Cast", "Neg"]


def test_sound_keeps_its_axes():
    model = put_input_in_front(make_model(("N", 5)), MICROPHONE)
    numbers = np.array([[-32768, -1, 0, 1, 32767]], np.int16)
    assert (run(model, input=numbers)["output"] == -numbers.astype(np.float32) / 32768).all()


def test_a_graph_without_the_mean_is_not_equal():
    right, wrong = (
        HostSession(put_input_in_front(make_model(), change_camera(graph=graph))) for graph in ({}, {"mean": (0.0,)})
    )
    arrays = {"input": PIXELS}
    check_float_parity("input", [(right.run(arrays), right.run(arrays))])
    with pytest.raises(ToolchainError) as caught:
        check_float_parity("input", [(right.run(arrays), wrong.run(arrays))])
    assert caught.value.code == ExitCode.PARITY


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (make_model(("N", 4, 6, 3)), CAMERA),
        (make_model(("N", 1, 4, 6)), CAMERA),
        (make_model(("N", 3, 6, 4)), CAMERA),
        (make_model(("N", 72)), CAMERA),
        (make_model(element=TensorProto.UINT8), CAMERA),
    ],
    ids=range(5),
)
def test_a_model_that_takes_something_else_is_refused(model, spec):
    with pytest.raises(ToolchainError) as caught:
        put_input_in_front(model, spec)
    assert caught.value.code == ExitCode.USAGE


def test_a_name_of_the_model_is_not_taken_twice():
    model = make_model()
    model.graph.node.insert(0, helper.make_node("Identity", ["input"], ["input_processed"], "input_cast"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "input_mul_constant"))
    made = put_input_in_front(model, CAMERA)
    assert np.allclose(run(made, input=PIXELS)["output"], -process_input(PIXELS, CAMERA), atol=1e-6)


def test_the_model_that_came_is_not_changed():
    model = make_model()
    before = model.SerializeToString(deterministic=True)
    put_input_in_front(model, CAMERA)
    assert model.SerializeToString(deterministic=True) == before

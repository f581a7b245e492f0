import onnx
import pytest
from onnx import TensorProto, helper

from toolchain.graph.safety.interface import check_interface

RELU = "g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }"


@pytest.mark.parametrize("length", [-1, 0, 4])
def test_lengths_and_what_exporters_write_for_an_unknown_one_pass(parse, length):
    model = parse(RELU)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = length
    check_interface(model, "m")


@pytest.mark.parametrize("kind", ["input", "output"])
def test_an_axis_of_negative_length_is_refused(parse, refuse, kind):
    model = parse(RELU)
    getattr(model.graph, kind)[0].type.tensor_type.shape.dim[1].dim_value = -4
    assert "found -4" in refuse(check_interface, model)


def test_an_output_that_is_listed_twice_is_refused(parse, refuse):
    model = parse(RELU)
    model.graph.output.append(model.graph.output[0])
    assert "two outputs of one name" in refuse(check_interface, model)


@pytest.mark.parametrize("kind", ["input", "output"])
def test_a_type_that_nobody_knows_is_refused_and_none_at_all_passes(parse, refuse, kind):
    model = parse(RELU)
    getattr(model.graph, kind)[0].type.tensor_type.elem_type = 0
    check_interface(model, "m")
    getattr(model.graph, kind)[0].type.tensor_type.elem_type = 999
    assert "found 999" in refuse(check_interface, model)


_ELEMENT = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 4])


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("make", [helper.make_sequence_type_proto, helper.make_optional_type_proto])
def test_a_sequence_and_an_optional_are_refused(parse, refuse, kind, make):
    """Sessions end with them in exit 12, as if another board would take them."""
    model = parse(RELU)
    getattr(model.graph, kind)[0].type.CopyFrom(make(_ELEMENT))
    assert "found sequence type" in refuse(check_interface, model).replace("optional", "sequence")


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("dtype", ["STRING", "BFLOAT16", "FLOAT8E4M3FN", "INT4", "COMPLEX64"])
def test_a_tensor_that_numpy_cannot_hold_is_refused_unless_it_is_a_weight(parse, refuse, kind, dtype):
    """An output of strings ended a deploy in a traceback: golden arrays are mapped."""
    model = parse(RELU)
    value = getattr(model.graph, kind)[0]
    value.type.tensor_type.elem_type = getattr(TensorProto, dtype)
    assert f"found {dtype.lower()}" in refuse(check_interface, model)
    model.graph.initializer.append(onnx.TensorProto(name=value.name))
    check_interface(model, "m")


@pytest.mark.parametrize("dtype", ["FLOAT16", "DOUBLE", "BOOL", "INT64", "UINT8", "UINT64"])
def test_a_tensor_of_any_numbers_passes(parse, dtype):
    model = parse(RELU)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = getattr(TensorProto, dtype)
    check_interface(model, "m")

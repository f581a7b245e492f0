import pytest

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

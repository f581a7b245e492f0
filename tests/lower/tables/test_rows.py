import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from toolchain.lower.tables.rows import SAVED_MIN_BYTES, find_tables, quantize_table, write_tables

HEAD = '<ir_version: 10, opset_import: ["": 21]> '
WORDS = HEAD + "g (int64[n, s] i) => (float[n, s, 64] y) <float[500, 64] table> { [words] y = Gather(table, i) }"


def replace_table(model, change):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "table")
    value = numpy_helper.to_array(tensor).copy()
    change(value)
    tensor.CopyFrom(numpy_helper.from_array(value, "table"))
    return value


def write_all(model):
    names, _ = find_tables(model)
    written = write_tables(model, [quantize_table(model, name) for name in names])
    onnx.checker.check_model(written, full_check=True)
    return written


@pytest.mark.parametrize("indices", [[[0, 7, 499]], [[-1, -500, 3], [3, 3, 3]]])
def test_a_row_is_its_integers_times_its_scale_to_the_last_bit(indices):
    model = parse_model(WORDS)
    table = numpy_helper.to_array(model.graph.initializer[0])
    scales = np.array([max(abs(value) for value in row) for row in table], np.float32) / 127
    integers = np.array([np.rint(row / scale) for row, scale in zip(table, scales, strict=True)], np.float32)
    expected = (integers * scales[:, None])[np.array(indices)]
    found = run_model(write_all(model), {"i": np.array(indices)})["y"]
    np.testing.assert_array_equal(found, expected)


def test_a_table_takes_a_byte_for_each_number_and_a_scale_for_each_row():
    model = parse_model(WORDS)
    (name,), _ = find_tables(model)
    written = write_all(model)
    assert {tensor.data_type: tuple(tensor.dims) for tensor in written.graph.initializer} == {
        onnx.TensorProto.INT8: (500, 64),
        onnx.TensorProto.FLOAT: (500, 1),
    }
    assert quantize_table(model, name).saved_bytes == 4 * 500 * 64 - (500 * 64 + 4 * 500)


def test_a_table_of_three_axes_has_a_scale_for_each_row():
    text = HEAD + "g (int64[n] i) => (float[n, 8, 64] y) <float[100, 8, 64] table> { y = Gather<axis = 0>(table, i) }"
    model = parse_model(text)
    feed = {"i": np.array([3, 99, 3])}
    expected, found = (run_model(variant, feed)["y"] for variant in (model, write_all(model)))
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(found - expected) <= largest / 254 * 1.001).all()
    assert not np.array_equal(found, expected)


def test_two_readers_of_a_table_share_its_integers():
    text = (
        HEAD
        + """g (int64[n] i, int64[n] j) => (float[n, 64] y) <float[500, 64] table> {
        a = Gather(table, i) b = Gather(table, j) y = Sub(a, b) }"""
    )
    written = write_all(parse_model(text))
    assert sorted(len(tensor.raw_data) for tensor in written.graph.initializer) == [4 * 500, 500 * 64]
    feed = {"i": np.arange(5), "j": np.arange(5)}
    np.testing.assert_array_equal(run_model(written, feed)["y"], np.zeros((5, 64)))


def test_names_that_a_model_has_taken_are_not_made_again():
    text = (
        HEAD
        + """g (int64[n] i) => (float[n, 64] y) <float[500, 64] table, float[64] table_rows> {
        [words] words_rows = Gather(table, i) y = Add(words_rows, table_rows) }"""
    )
    model = parse_model(text)
    feed = {"i": np.arange(5)}
    np.testing.assert_allclose(run_model(write_all(model), feed)["y"], run_model(model, feed)["y"], atol=0.02)


def test_a_row_of_zeros_stays_zeros():
    model = parse_model(WORDS)

    def empty(table):
        table[3] = 0
        table[4] = 1e-42  # under the smallest normal number of float32

    replace_table(model, empty)
    found = run_model(write_all(model), {"i": np.array([[3, 4]])})["y"]
    np.testing.assert_array_equal(found, np.zeros((1, 2, 64)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_table_that_is_not_finite_stays_in_float_and_says_so(value):
    model = parse_model(WORDS)

    def spoil(table):
        table[17, 3] = value

    replace_table(model, spoil)
    assert find_tables(model) == ((), {"table": "it holds NaN or infinity"})


def test_a_table_that_projects_the_output_too_stays_with_its_product():
    text = (
        HEAD
        + """g (int64[n] i) => (float[n, 500] y) <float[500, 64] table> {
        [words] x = Gather(table, i) [turn] t = Transpose(table) [scores] y = MatMul(x, t) }"""
    )
    names, reasons = find_tables(parse_model(text))
    assert names == ()
    assert reasons == {"table": "turn (Transpose) reads it too: in both forms it would be larger"}


def test_a_table_of_a_node_that_the_recipe_names_stays_in_float():
    model = parse_model(WORDS)
    assert find_tables(model, ["other"])[0] == ("table",)
    assert find_tables(model, ["words"]) == ((), {"table": "the recipe keeps words in float"})


def test_a_table_that_an_input_may_replace_stays_in_float():
    model = parse_model(WORDS)
    model.graph.input.append(onnx.helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, [500, 64]))
    assert find_tables(model) == ((), {"table": "it is an input or output of the model too"})


@pytest.mark.parametrize(
    "text",
    [
        "g (int64[n] i) => (float[n, 64] y) <float[340, 64] table> { y = Gather(table, i) }",
        "g (int64[n] i) => (float[500, n] y) <float[500, 64] table> { y = Gather<axis = 1>(table, i) }",
        "g (int64[n] i) => (float[n] y) <float[40000] table> { y = Gather(table, i) }",
        "g (float[n, 500] x) => (float[n, 64] y) <float[500, 64] table> { y = MatMul(x, table) }",
    ],
    ids=["small", "columns", "one axis", "a product"],
)
def test_what_is_no_large_table_of_rows_is_left_alone(text):
    model = parse_model(HEAD + text)
    assert find_tables(model) == ((), {})
    assert write_tables(model, []) is model
    assert 3 * 340 * 64 - 4 * 340 < SAVED_MIN_BYTES < 3 * 500 * 64 - 4 * 500

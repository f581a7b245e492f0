import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.tensorrt.sparsity import find_sparse_layers, is_sparse


def test_the_groups_run_along_the_input_channels():
    dense = np.ones((4, 8, 3, 3), np.float32)
    along_input = dense.copy()
    along_input[:, [0, 1, 4, 5]] = 0
    along_output = dense.copy()
    along_output[[0, 1]] = 0
    assert is_sparse(along_input, output_axis=0)
    assert not is_sparse(along_output, output_axis=0)
    assert not is_sparse(dense, output_axis=0)


@given(st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_one_value_too_many_in_one_group_is_no_sparsity(groups, place, transposed):
    weight = np.zeros((3, 4 * groups), np.float32)
    weight[:, ::4] = 1
    weight[:, 1::4] = 1
    assert is_sparse(weight.T if transposed else weight, output_axis=1 if transposed else 0)
    weight[1, :4] = 1
    weight[1, place] = 0
    assert not is_sparse(weight.T if transposed else weight, output_axis=1 if transposed else 0)


def test_channels_that_do_not_fill_a_group_are_not_sparse():
    assert not is_sparse(np.zeros((4, 3, 3, 3), np.float32), output_axis=0)


def test_only_the_sparse_layer_is_named(residual):
    assert find_sparse_layers(residual) == []
    weight = next(tensor for tensor in residual.graph.initializer if tensor.name == "w2")
    values = np.array(onnx.numpy_helper.to_array(weight))
    values[:, :2] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    assert find_sparse_layers(residual) == ["conv2"]

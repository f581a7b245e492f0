import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.safety.tensors import check_data, check_declared, measure_declared


def make_model(*tensors: TensorProto) -> onnx.ModelProto:
    return onnx.ModelProto(graph=onnx.GraphProto(name="g", initializer=tensors))


def make_tensor(kind: int = TensorProto.FLOAT, dims: tuple[int, ...] = (4,), **data: object) -> TensorProto:
    return TensorProto(name="w", data_type=kind, dims=dims, **data)


@pytest.mark.parametrize(
    ("kind", "dims", "size_bytes"),
    [
        (TensorProto.FLOAT, (2, 3), 24),
        (TensorProto.BOOL, (), 1),
        (TensorProto.INT4, (3,), 2),
        (TensorProto.UINT2, (5,), 2),
        (TensorProto.BFLOAT16, (3,), 6),
        (TensorProto.FLOAT8E4M3FN, (3,), 3),
        (TensorProto.COMPLEX128, (1,), 16),
        (TensorProto.FLOAT, (0, 7), 0),
    ],
)
def test_a_tensor_is_measured_by_what_it_declares(kind, dims, size_bytes):
    assert measure_declared(make_tensor(kind, dims)) == size_bytes


@pytest.mark.parametrize("kind", [name for name in TensorProto.DataType.keys() if name != "UNDEFINED"])  # noqa: SIM118
@pytest.mark.parametrize("raw", [True, False])
def test_what_onnx_itself_makes_of_numbers_passes(kind, raw):
    number = TensorProto.DataType.Value(kind)
    if raw and kind == "STRING":
        return
    values = ["a"] * 3 if kind == "STRING" else np.ones(3, helper.tensor_dtype_to_np_dtype(number))
    data = helper.tensor_dtype_to_np_dtype(number)
    tensor = (
        numpy_helper.from_array(np.ones(3, data), "w") if raw else helper.make_tensor("w", number, [3], list(values))
    )
    check_declared(make_model(tensor), "m")
    check_data(make_model(tensor), "m")


def test_data_outside_of_the_file_is_not_looked_at_before_it_is_read():
    check_declared(make_model(make_tensor(dims=(1000, 1000), data_location=TensorProto.EXTERNAL)), "m")


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (make_tensor(99), "no known type"),
        (make_tensor(0), "no known type"),
        (make_tensor(dims=(-1, 4)), "negative length"),
        (make_tensor(dims=(1,) * 65), "too many axes"),
        (make_tensor(dims=(2**62, 2**62)), "too large"),
        (make_tensor(dims=(0, 2**62, 2**62)), "too large"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused_by_what_it_declares(refuse, tensor, says):
    assert says in refuse(check_declared, make_model(tensor))


def test_tensors_that_add_up_beyond_two_gib_are_refused_and_fewer_are_not(refuse):
    quarter = make_tensor(dims=(2**27,), data_location=TensorProto.EXTERNAL)
    check_declared(make_model(*[quarter] * 3), "m")
    assert str(2**31) in refuse(check_declared, make_model(*[quarter] * 4))


def test_sparse_tensors_count_as_the_dense_ones_that_they_become(refuse):
    model = make_model()
    sparse = model.graph.sparse_initializer.add(dims=[2**20, 2**10])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    assert str(2**32 + 4 + 8) in refuse(check_declared, model)
    del sparse.dims[:]
    sparse.dims.extend([2**10, 2**10])
    check_declared(model, "m")
    sparse.indices.dims[0] = 2
    assert "do not fit" in refuse(check_declared, model)
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int32), "i"))
    assert "no int64" in refuse(check_declared, model)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (make_tensor(), "no data"),
        (make_tensor(raw_data=b"\0" * 16, float_data=[0] * 4), "twice"),
        (make_tensor(raw_data=b"\0" * 15), "found 15"),
        (make_tensor(raw_data=b"\0" * 17), "found 17"),
        (make_tensor(float_data=[0] * 5), "found 5"),
        (make_tensor(int64_data=[0] * 4), "another type"),
        (make_tensor(TensorProto.INT4, raw_data=b"\0" * 4), "expected 2 bytes"),
        (make_tensor(TensorProto.STRING, raw_data=b"\0" * 4), "another type"),
        (make_tensor(TensorProto.STRING, string_data=[b"a"] * 3), "found 3"),
        (make_tensor(raw_data=b"\0" * 16, segment=TensorProto.Segment(begin=0, end=4)), "segments"),
    ],
)
def test_data_that_is_not_what_type_and_shape_declare_is_refused(refuse, tensor, says):
    assert says in refuse(check_data, make_model(tensor))

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.shapes import describe_difference, find_fixed_batch


def make_specs(*shapes, dtype="float32"):
    return [TensorSpec(name=f"t{index}", dtype=dtype, shape=shape) for index, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (make_specs((None, 3)), make_specs((1, 3))),
        (make_specs((1, 3)), make_specs((None, 3))),
        (make_specs((), (2,)), make_specs((), (2,))),
    ],
)
def test_shapes_that_may_be_the_same_are_no_difference(expected, found):
    assert describe_difference(expected, found) is None


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (make_specs((2, 3)), make_specs((2, 4))),
        (make_specs((2, 3)), make_specs((2,))),
        (make_specs((2,)), make_specs((2, 3))),
        (make_specs((2,)), make_specs((2,), dtype="float16")),
        (make_specs((2,)), make_specs((2,), (2,))),
        (make_specs((2,), (2,)), make_specs((2,))),
    ],
)
def test_other_names_types_and_shapes_are_differences(expected, found):
    assert describe_difference(expected, found)


@pytest.mark.parametrize(
    ("shapes", "expected"), [([(None, 3)], None), ([(4, 3), (4,)], 4), ([(4, 3), (None, 2)], 4), ([(1,)], 1)]
)
def test_the_batch_is_the_first_axis_of_all_inputs(shapes, expected):
    specs = [TensorSpec(name=str(index), dtype="float32", shape=shape) for index, shape in enumerate(shapes)]
    assert find_fixed_batch(specs) == expected


@pytest.mark.parametrize("shapes", [[(4, 3), (5,)], [()], [(0, 3)]])
def test_inputs_without_a_common_first_axis_are_refused(shapes):
    specs = [TensorSpec(name=str(index), dtype="float32", shape=shape) for index, shape in enumerate(shapes)]
    with pytest.raises(ToolchainError) as caught:
        find_fixed_batch(specs)
    assert caught.value.code == ExitCode.MALFORMED

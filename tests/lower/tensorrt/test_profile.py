import numpy as np

from toolchain.lower.tensorrt.profile import ShapeRange, find_profile


def test_a_profile_spans_the_shapes_of_the_calibration_data():
    shapes = [(1, 3, 8), (2, 3, 8), (2, 3, 8), (4, 3, 6)]
    profile = find_profile({"x": np.zeros(shape)} for shape in shapes)
    assert profile == {"x": ShapeRange(least=(1, 3, 6), usual=(2, 3, 8), most=(4, 3, 8))}


def test_one_shape_is_least_usual_and_most():
    profile = find_profile([{"x": np.zeros((1, 5)), "flag": np.array(True)}])
    assert profile["x"] == ShapeRange((1, 5), (1, 5), (1, 5))
    assert profile["flag"] == ShapeRange((), (), ())

import numpy as np
import pytest

from tests.sensors import CAMERA, change_camera, draw_pixels, normalize
from toolchain.data.check_transform import check_same, check_transform
from toolchain.errors import ExitCode, ToolchainError

PIXELS = draw_pixels()
BYTES = PIXELS[..., ::-1]  # of a camera that gives BGR
SQUARE = draw_pixels(2, 3, 3)  # as high and wide as it has channels
PLAIN = {"mean": (0.0,), "std": (1.0,)}


def refuse(numbers, prepared, spec):
    with pytest.raises(ToolchainError) as caught:
        check_transform(numbers, prepared, spec, where="here")
    assert caught.value.code == ExitCode.USAGE
    return caught.value


def test_what_the_training_did_is_taken():
    check_transform(BYTES, normalize(PIXELS), CAMERA, where="here")


def test_colours_that_are_mixed_up_are_refused_and_named():
    assert 'model_colour = "BGR"' in refuse(BYTES, normalize(PIXELS), change_camera(colour="RGB")).fix
    assert 'model_colour = "BGR"' in refuse(PIXELS, normalize(PIXELS), CAMERA).fix


def test_a_mean_that_the_model_takes_off_itself_is_refused():
    prepared = normalize(PIXELS, mean=(0, 0, 0), std=(1, 1, 1))
    assert "mean = [0.0]" in refuse(BYTES, prepared, CAMERA).fix
    check_transform(BYTES, prepared, change_camera(graph=PLAIN), where="here")


def test_a_mean_that_is_one_byte_off_is_refused():
    refuse(BYTES, normalize(PIXELS), change_camera(graph={"mean": (0.4 + 1 / 255, 0.5, 0.6)}))


def test_a_mean_in_the_order_of_the_sensor_is_refused():
    refuse(BYTES, normalize(PIXELS), change_camera(graph={"mean": (0.6, 0.5, 0.4), "std": (0.3, 0.25, 0.2)}))


def test_a_layout_that_the_shape_does_not_show_is_refused_and_named():
    spec = change_camera(colour="RGB", height=3, width=3)
    check_transform(SQUARE, normalize(SQUARE), spec, where="here")
    turned = SQUARE.transpose(0, 3, 1, 2)  # NCHW, in the same shape
    assert 'layout = "NCHW"' in refuse(turned, normalize(SQUARE), spec).fix


def test_another_shape_is_refused_by_both_shapes():
    assert refuse(BYTES, normalize(PIXELS).transpose(0, 2, 3, 1), CAMERA).found.startswith("shape (3, 4, 6)")


def test_nan_in_what_was_prepared_is_refused():
    prepared = normalize(PIXELS)
    prepared[0, 0, 0, 0] = np.nan
    refuse(BYTES, prepared, CAMERA)


def test_a_sample_that_the_sensor_gives_otherwise_is_refused():
    check_same(normalize(PIXELS), normalize(PIXELS), where="here")
    with pytest.raises(ToolchainError) as caught:
        check_same(normalize(PIXELS), normalize(PIXELS[:, ::-1]), where="here")
    assert caught.value.code == ExitCode.USAGE

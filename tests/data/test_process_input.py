import numpy as np
import pytest

from tests.sensors import MICROPHONE, change_camera, draw_pixels, normalize
from toolchain.data.process_input import process_input


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("model_layout", ["NHWC", "NCHW"])
def test_bytes_become_what_a_training_makes_of_the_same_pixels(colour, layout, model_layout):
    pixels = draw_pixels()
    numbers = pixels[..., ::-1] if colour == "BGR" else pixels
    numbers = numbers.transpose(0, 3, 1, 2) if layout == "NCHW" else numbers
    spec = change_camera(colour=colour, layout=layout, graph={"model_layout": model_layout})
    found = process_input(numbers, spec)
    expected = normalize(pixels)
    expected = expected if model_layout == "NCHW" else expected.transpose(0, 2, 3, 1)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)


def test_whole_numbers_of_sound_become_its_floats():
    found = process_input(np.array([[-32768, 0, 16384]], np.int16), MICROPHONE)
    assert found.tolist() == [[-1, 0, 0.5]]

import numpy as np
import pytest

from toolchain.bundle.draw_frame import draw_frame


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_frame_shows_every_change_of_its_order(dtype):
    frame = draw_frame(12, 20, 3, dtype=dtype)
    assert (frame.shape, str(frame.dtype)) == ((12, 20, 3), dtype)
    assert (frame == draw_frame(12, 20, 3, dtype=dtype)).all()
    assert frame.min() >= 0
    for other in (frame[::-1], frame[:, ::-1], frame[..., ::-1], np.roll(frame, 1, axis=2)):
        assert (frame != other).mean() > 0.5


def test_a_pixel_is_a_frame():
    assert draw_frame(1, 1, 1, dtype="uint8").shape == (1, 1, 1)

import math
from fractions import Fraction

import numpy as np
import pytest

from tests.frames import encode_yuv
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.measure.preprocess.yuv import COEFFICIENTS, decode_yuv, list_frame_shape
from toolchain.agent.sensor import YUV_COLOURS, PictureSpec

# Shares of red and blue in the brightness: ITU-R BT.601-7 and BT.709-6.
SHARES = {"BT.601": (Fraction(299, 1000), Fraction(114, 1000)), "BT.709": (Fraction(2126, 10000), Fraction(722, 10000))}


@pytest.mark.parametrize(("matrix", "span"), list(COEFFICIENTS))
def test_the_coefficients_are_those_of_the_recommendations(matrix, span):
    red, blue = SHARES[matrix]
    green = 1 - red - blue
    floor, light, colour = (16, Fraction(255, 219), Fraction(255, 224)) if span == "limited" else (0, 1, 1)
    of_u = (2 * (1 - blue) * colour, -2 * blue * (1 - blue) / green * colour)
    of_v = (2 * (1 - red) * colour, -2 * red * (1 - red) / green * colour)
    rounded = [math.floor(value * 2**16 + Fraction(1, 2)) for value in (light, *of_u, *of_v)]
    assert COEFFICIENTS[matrix, span] == (floor, *rounded)


@pytest.mark.parametrize("colour", YUV_COLOURS)
def test_every_kind_of_frame_gives_the_picture_that_it_was_made_of(colour):
    # Blocks of one colour each, so that nothing is lost between them; bytes are rounded on both ways.
    blocks = np.random.default_rng(1).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = blocks.repeat(2, axis=0).repeat(2, axis=1)
    frame = encode_yuv(picture, colour)
    assert frame.shape == list_frame_shape(colour, 6, 8)
    found = decode_yuv(frame, colour)
    assert np.abs(found.astype(int) - picture).max() <= 3
    others = [other for other in YUV_COLOURS if other != colour]
    for other in others:
        if list_frame_shape(other, 6, 8) == frame.shape:
            assert np.abs(decode_yuv(frame, other).astype(int) - picture).max() > 3, other


def test_a_block_gives_its_colour_to_the_four_pixels_in_it():
    frame = np.full((6, 4), 128, np.uint8)
    frame[4, 0] = 200  # U of the upper left block
    blue = decode_yuv(frame, "NV12/BT.601/full")[..., 2]
    assert (blue > 200).tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    assert (decode_yuv(frame[..., None], "I420/BT.601/full")[..., 2] == blue).all()
    assert (decode_yuv(frame, "NV21/BT.601/full")[..., 0] > 200).tolist() == (blue > 200).tolist()


def test_yuyv_has_two_pixels_in_four_bytes():
    frame = np.array([[[10, 128], [20, 255]]], np.uint8)
    assert decode_yuv(frame, "YUYV/BT.601/full").tolist() == [[[188, 0, 10], [198, 0, 20]]]


@pytest.mark.parametrize(
    ("shape", "colour"),
    [
        ((5, 4, 1), "NV12/BT.601/full"),
        ((6, 3, 1), "NV12/BT.601/full"),
        ((6, 4, 3), "NV12/BT.601/full"),
        ((0, 4, 1), "I420/BT.601/full"),
        ((6, 3, 2), "YUYV/BT.601/full"),
        ((6, 4), "YUYV/BT.601/full"),
        ((6, 4, 1), "YUYV/BT.601/full"),
        ((24,), "NV21/BT.601/full"),
    ],
)
def test_what_is_no_such_frame_is_refused(shape, colour):
    with pytest.raises(ToolchainError) as caught:
        decode_yuv(np.zeros(shape, np.uint8), colour)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def test_a_frame_is_resized_after_it_has_become_rgb():
    spec = PictureSpec("uint8", "NCHW", "NV12/BT.709/limited", 4, 4, "letterbox", 114, 1.0)
    frame = np.random.default_rng(0).integers(0, 256, (12, 4), dtype=np.uint8)
    tensor, at = prepare_picture(frame, spec)
    rgb = PictureSpec("uint8", "NCHW", "RGB", 4, 4, "letterbox", 114, 1.0)
    expected, place = prepare_picture(decode_yuv(frame, spec.colour), rgb)
    assert (tensor == expected).all()
    assert (at, at.source_height, at.source_width) == (place, 8, 4)
    with pytest.raises(ToolchainError):
        prepare_picture(frame.astype(np.int16), spec)

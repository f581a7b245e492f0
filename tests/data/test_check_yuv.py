from dataclasses import replace

import numpy as np
import pytest

from tests.frames import encode_yuv
from tests.sensors import change_camera
from toolchain.agent.sensor import YUV_COLOURS
from toolchain.data.check_yuv import check_yuv
from toolchain.errors import ExitCode, ToolchainError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def draw(colour, *, spread=1.0):
    """Return frames, what another hand prepared of them, and what [input] says."""
    drawn = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 3))
    blocks = (128 + (drawn - 128) * spread).astype(np.uint8)
    pictures = blocks.repeat(2, axis=1).repeat(2, axis=2)
    frames = np.stack([encode_yuv(picture, colour) for picture in pictures])
    prepared = ((decode(frames, colour) / 255 - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2)
    return frames, prepared.astype(np.float32), change_camera(colour=colour)


def decode(frames, colour):
    """Return frames as pictures, in floats and by another hand."""
    packing, matrix, span = colour.split("/")
    red, blue = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}[matrix]
    if packing == "YUYV":
        y, u, v = frames[..., 0], frames[:, :, ::2, 1].repeat(2, axis=2), frames[:, :, 1::2, 1].repeat(2, axis=2)
    else:
        y, below = frames[:, :4, :, 0], frames[:, 4:].reshape(len(frames), -1)
        u, v = (below[:, :6], below[:, 6:]) if packing == "I420" else (below[:, ::2], below[:, 1::2])
        u, v = (v, u) if packing == "NV21" else (u, v)
        u, v = (plane.reshape(-1, 2, 3).repeat(2, axis=1).repeat(2, axis=2) for plane in (u, v))
    y, u, v = y.astype(float), u.astype(float) - 128, v.astype(float) - 128
    if span == "limited":
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.rint(np.stack([r, g, b], axis=3).clip(0, 255))


def refuse(frames, prepared, spec):
    with pytest.raises(ToolchainError) as caught:
        check_yuv(frames, prepared, spec, where="here")
    assert caught.value.code is ExitCode.USAGE
    return caught.value


@pytest.mark.parametrize("colour", YUV_COLOURS)
def test_what_the_sensor_gives_is_taken_and_every_other_yuv_is_refused(colour):
    frames, prepared, spec = draw(colour)
    check_yuv(frames, prepared, spec, where="here")
    packing, matrix, span = colour.split("/")
    for other in set(YUV_COLOURS) - {colour}:
        error = refuse(frames, prepared, replace(spec, picture=replace(spec.picture, colour=other)))
        assert f'colour = "{packing}", matrix = "{matrix}", range = "{span}"' in error.fix


def test_grey_frames_prove_nothing_of_colours():
    frames, prepared, spec = draw("NV12/BT.601/limited", spread=0.0)
    error = refuse(frames, prepared, spec)
    assert "NV21/BT.601/limited" in error.found
    assert "strong colours" in error.fix


def test_a_mean_that_is_another_is_refused():
    frames, prepared, spec = draw("I420/BT.709/full")
    error = refuse(frames, prepared + 0.1, spec)
    assert "correct [input]" in error.fix
    refuse(frames, prepared[:, :2], spec)
    refuse(frames, np.full_like(prepared, np.nan), spec)

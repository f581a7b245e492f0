"""Pictures as a model sees them, and the places in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolchain.data.framing import PictureOptions, make_framing
from toolchain.errors import ExitCode, ToolchainError

SIDE = st.integers(1, 5000)


def frame(**options):
    return make_framing(PictureOptions(**{"width": 40, "height": 20} | options))


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


@given(width=SIDE, height=SIDE, wide=st.integers(1, 640), high=st.integers(1, 640), letterbox=st.booleans())
def test_a_picture_lies_within_the_input_and_touches_two_of_its_sides(width, height, wide, high, letterbox):
    at = frame(width=wide, height=high, resize="letterbox" if letterbox else "stretch").place(width, height)
    assert at.left >= 0
    assert at.top >= 0
    assert at.left + at.width <= wide
    assert at.top + at.height <= high
    assert at.width == wide or at.height == high
    # The middle is the middle, but for half a pixel.
    assert abs((wide - at.width) - 2 * at.left) <= 1
    assert abs((high - at.height) - 2 * at.top) <= 1


@given(width=SIDE, height=SIDE, x=st.floats(0, 1), y=st.floats(0, 1), letterbox=st.booleans())
def test_points_that_are_moved_are_found_where_they_came_from(width, height, x, y, letterbox):
    at = frame(resize="letterbox" if letterbox else "stretch").place(width, height)
    point = np.array([x * width, y * height])
    moved = at.move_points(point)
    assert (moved >= [at.left, at.top]).all()
    assert (moved <= np.array([at.left + at.width, at.top + at.height]) + 1e-9).all()
    np.testing.assert_allclose((moved - (at.left, at.top)) / at.scale, point, rtol=1e-12, atol=1e-9)


def test_the_corners_of_a_picture_come_to_lie_on_its_corners():
    at = frame().place(100, 100)  # 20x20 in the middle of 40x20
    assert at.move_points(np.array([[0.0, 0.0], [100.0, 100.0]])).tolist() == [[10, 0], [30, 20]]
    stretched = frame(resize="stretch").place(100, 100)
    assert stretched.move_points(np.array([[0.0, 0.0], [100.0, 100.0]])).tolist() == [[0, 0], [40, 20]]


def test_a_letterbox_fills_both_sides_and_keeps_the_shape(tmp_path):
    path = save(tmp_path / "a.png", np.full((10, 10, 3), 200))
    pixels = frame(fill=7).read_picture(path)
    assert pixels.shape == (20, 40, 3)
    assert (pixels[:, 10:30] == 200).all()
    assert (pixels[:, :10] == 7).all()
    assert (pixels[:, 30:] == 7).all()


def test_stretched_pixels_are_those_of_pillow(tmp_path):
    source = np.random.default_rng(0).integers(0, 256, (33, 57, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", source)
    expected = Image.fromarray(source).resize((40, 20), Image.Resampling.BILINEAR)
    assert np.array_equal(frame(resize="stretch").read_picture(path), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK"])
def test_every_picture_is_read_in_the_colours_that_are_asked_for(tmp_path, mode):
    path = tmp_path / f"a.{'tiff' if mode == 'CMYK' else 'png'}"
    Image.new("RGB", (8, 4), (255, 255, 255)).convert(mode).save(path)
    for colour, channels in (("rgb", 3), ("grey", 1)):
        pixels = frame(colour=colour, resize="stretch").read_picture(path)
        assert pixels.shape == (20, 40, channels)
        assert (pixels == 255).all()


def test_values_are_normalized_channel_by_channel():
    pixels = np.full((2, 20, 40, 3), 255, dtype=np.uint8)
    values = frame(mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 0.25]).normalize(pixels)
    assert (values.shape, values.dtype, values.flags.c_contiguous) == ((2, 3, 20, 40), np.float32, True)
    assert values[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
    assert frame(mean=[0.5], std=[0.5]).normalize(pixels).mean() == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"std": [0.0]},
        {"mean": [0.1, 0.2]},
        {"colour": "grey", "mean": [0.1, 0.2, 0.3]},
        {"colour": "grey", "std": [1.0] * 3},
    ],
)
def test_channels_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ToolchainError) as caught:
        frame(**wrong)
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where.removeprefix("data.options.") in wrong


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_mask_keeps_its_numbers_and_nothing_lies_beside_it(tmp_path, mode):
    numbers = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    image = Image.fromarray(numbers, mode="L")
    if mode == "P":
        image = Image.frombytes("P", image.size, numbers.tobytes())
        image.putpalette([value for index in range(256) for value in (255 - index, index, 0)])
    image.save(tmp_path / "a.png")
    mask = frame().read_mask(tmp_path / "a.png", ignore=255)
    assert mask.shape == (20, 40)
    assert np.array_equal(mask[:, 10:30], np.kron(numbers, np.ones((10, 10), dtype=np.uint8)))
    assert (mask[:, :10] == 255).all()
    assert set(np.unique(mask)) == {0, 1, 2, 255}  # none in between


def test_a_mask_of_colours_is_refused(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(ToolchainError, match="colours") as caught:
        frame().read_mask(path, ignore=255)
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, str(path))

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from toolchain.agent.measure.preprocess.resize import resize_bilinear

PICTURES = npst.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)))


def resize_exactly(picture, height, width):
    """Return the same in fractions, from the definition."""

    def find(index, source, size):
        at = min(max(Fraction(2 * index + 1, 2 * size) * source - Fraction(1, 2), Fraction(0)), Fraction(source - 1))
        first = at.numerator // at.denominator
        return first, min(first + 1, source - 1), at - first

    exact = np.empty((height, width, picture.shape[2]))
    for row in range(height):
        top, bottom, down = find(row, picture.shape[0], height)
        for column in range(width):
            left, right, along = find(column, picture.shape[1], width)
            for channel in range(picture.shape[2]):
                four = [int(picture[y, x, channel]) for y in (top, bottom) for x in (left, right)]
                above = four[0] * (1 - along) + four[1] * along
                exact[row, column, channel] = above * (1 - down) + (four[2] * (1 - along) + four[3] * along) * down
    return exact


@settings(deadline=None, max_examples=60)
@given(picture=PICTURES, height=st.integers(1, 12), width=st.integers(1, 12))
def test_every_pixel_is_the_definition_s_to_the_nearest_byte(picture, height, width):
    found = resize_bilinear(picture, height=height, width=width)
    # 2^-12 of a pixel on both axes, of at most 255.
    assert np.abs(found - resize_exactly(picture, height, width)).max() <= 0.5 + 2 * 255 / 4096


@given(picture=PICTURES)
def test_a_picture_of_the_size_is_itself(picture):
    height, width, _ = picture.shape
    assert (resize_bilinear(picture, height=height, width=width) == picture).all()


@given(value=st.integers(0, 255), height=st.integers(1, 40), width=st.integers(1, 40))
def test_one_colour_stays_that_colour(value, height, width):
    resized = resize_bilinear(np.full((7, 5, 1), value, np.uint8), height=height, width=width)
    assert resized.shape == (height, width, 1)
    assert (resized == value).all()


def test_a_ramp_is_as_it_was_worked_out_by_hand():
    ramp = np.array([[[0], [100]]], np.uint8)
    # Middles at 1/4 and 3/4 beyond the outer ones: 0, 25, 75, 100.
    assert resize_bilinear(ramp, height=1, width=4).ravel().tolist() == [0, 25, 75, 100]


def test_a_smaller_picture_is_sampled_and_not_averaged():
    stripes = np.array([[[0], [0], [255], [0], [0]]], np.uint8)
    assert resize_bilinear(stripes, height=1, width=1).ravel().tolist() == [255]


def test_no_size_of_a_frame_overflows():
    white = np.full((1, 3, 1), 255, np.uint8)
    assert (resize_bilinear(white, height=4096, width=1) == 255).all()

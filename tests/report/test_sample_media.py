"""Samples as pictures and sounds: what the model got, and nothing made up of numbers that are neither."""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.made_record import make_manifest
from toolchain.report.sample_media import draw_sample

MANIFEST = make_manifest()


def open_uri(uri):
    return io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))


@pytest.mark.parametrize("shape", [(3, 10, 20), (10, 20, 3), (1, 10, 20), (10, 20), (10, 20, 1)])
def test_planes_are_a_picture_of_their_size(shape):
    media = draw_sample(np.random.default_rng(0).random(shape, np.float32), MANIFEST)
    assert (media.kind, media.width, media.height, media.note) == ("picture", 20, 10, "contrast stretched")
    assert Image.open(open_uri(media.uri)).size == (20, 10)


def test_bytes_are_shown_as_they_are_and_a_large_picture_is_made_small():
    pixels = np.random.default_rng(0).integers(0, 255, (400, 200, 3), np.uint8)
    media = draw_sample(pixels, MANIFEST)
    assert (media.width, media.height, media.note) == (200, 400, "")
    assert max(Image.open(open_uri(media.uri)).size) == 160
    small = draw_sample(pixels[:10, :10], MANIFEST)
    assert (np.asarray(Image.open(open_uri(small.uri))) == pixels[:10, :10]).all()


def test_a_long_row_is_a_sound_that_plays_with_its_outline():
    media = draw_sample(np.sin(np.arange(3200) / 5).astype(np.float32)[None], MANIFEST)
    assert media.kind == "sound"
    assert "assumed 16,000 Hz" in media.note
    with wave.open(open_uri(media.uri)) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (16_000, 3200, 1)
    assert all(0 <= top <= bottom <= 1 for top, bottom in media.outline)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(10, np.float32),
        np.zeros((4, 4), np.float32),
        np.full((10, 20), np.nan, np.float32),
        np.zeros((7, 10, 20), np.float32),
        np.zeros((10, 20), bool),
        np.float32(1.0),
    ],
)
def test_what_is_neither_is_not_drawn(array):
    assert draw_sample(np.asarray(array), MANIFEST) is None


def test_a_picture_of_one_grey_is_drawn():
    assert draw_sample(np.ones((10, 10), np.float32), replace(MANIFEST)).kind == "picture"

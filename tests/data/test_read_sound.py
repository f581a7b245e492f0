"""WAV files of every kind that tools write: read right, or refused by name."""

import os

import numpy as np
import pytest
import soundfile

from toolchain.data.read_sound import read_header, read_sound
from toolchain.errors import ExitCode, ToolchainError

TONE = np.sin(np.arange(400) / 9).astype(np.float32) * 0.5


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        read_sound(path, 10)
    assert caught.value.where == str(path)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        ("PCM_U8", 8e-3),
        ("PCM_16", 4e-5),
        ("PCM_24", 2e-7),
        ("PCM_32", 1e-8),
        ("FLOAT", 0),
        ("DOUBLE", 0),
        ("ULAW", 2e-2),
    ],
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_samples_are_those_that_were_written(tmp_path, kind, tolerance, form):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 8000, format=form, subtype=kind)
    sound = read_sound(path, 400)
    assert (sound.shape, sound.dtype) == ((400,), np.float32)
    assert np.abs(sound - TONE).max() <= tolerance
    header = read_header(path)
    assert (header.rate_hz, header.channels, header.samples) == (8000, 1, 400)


def test_a_short_sound_gets_zeros_behind_it_and_a_long_one_is_cut(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, 8000, subtype="FLOAT")
    assert np.array_equal(read_sound(tmp_path / "a.wav", 500), np.pad(TONE, (0, 100)))
    assert np.array_equal(read_sound(tmp_path / "a.wav", 300), TONE[:300])


@pytest.mark.parametrize("kept", [0, 3, 12, 30, 44, 100, 843])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 8000)
    path.write_bytes(path.read_bytes()[:kept])
    assert refuse(path).code is ExitCode.MALFORMED


@pytest.mark.parametrize("form", ["FLAC", "OGG", "AIFF", "AU", "RF64"])
def test_what_is_no_wav_by_its_content_is_refused(tmp_path, form):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 8000, format=form)
    assert refuse(path).code is ExitCode.MALFORMED


@pytest.mark.parametrize("kind", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_compressed_samples_are_refused(tmp_path, kind):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 8000, subtype=kind)
    assert kind in refuse(path).found


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_no_numbers_are_refused(tmp_path, value):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0, 0, value], dtype=np.float32), 8000, subtype="FLOAT")
    error = refuse(path)
    assert error.code is ExitCode.USAGE
    assert "sample 2" in error.found


@pytest.mark.parametrize(("peak", "is_sound"), [(3.0, True), (30.0, True), (300.0, False), (32767.0, False)])
def test_floats_far_beyond_full_scale_are_refused_and_loud_ones_are_not(tmp_path, peak, is_sound):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0, -peak, peak / 2], dtype=np.float32), 8000, subtype="FLOAT")
    if is_sound:
        assert read_sound(path, 3).tolist() == [0, -peak, peak / 2]
    else:
        error = refuse(path)
        assert (error.code, error.found) == (ExitCode.USAGE, f"a peak of {peak:g}")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert refuse(tmp_path / "a.wav").found == "it is a pipe, and no file"

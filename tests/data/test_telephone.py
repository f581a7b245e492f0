"""Words as a telephone keeps them, and in noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data.telephone import RATE_HZ, SAMPLES, keep_word, read_word, resample, say_in_noise


def tone(pitch_hz, count, rate_hz, silence=0):
    sound = 12000 * np.sin(2 * np.pi * pitch_hz / rate_hz * np.arange(count))
    return np.pad(sound, (silence, silence)).astype(np.int16)


def find_pitch(sound, rate_hz):
    return np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * rate_hz / len(sound)


def test_a_tone_keeps_its_pitch_and_loses_the_silence_around_it():
    kept = keep_word(tone(700, 11025, 22050, silence=4000), 22050)
    assert kept.dtype == np.uint8
    assert 0.5 < len(kept) / 8000 < 0.53
    assert find_pitch(read_word(kept), RATE_HZ) == pytest.approx(700, abs=5)


def test_what_is_played_faster_is_higher_and_shorter():
    slow, fast = (keep_word(tone(700, 11025, 22050), rate) for rate in (22050, 27000))
    assert len(fast) < len(slow)
    assert find_pitch(read_word(fast), RATE_HZ) == pytest.approx(700 * 27000 / 22050, abs=5)


def test_a_word_of_more_than_a_second_is_cut_and_silence_is_one_value():
    assert len(keep_word(tone(300, 60000, 22050), 22050)) == 8000
    assert keep_word(np.zeros(2000, np.int16), 22050).tolist() == [128]


def test_eight_bits_keep_a_word_to_a_hundredth():
    sound = np.random.default_rng(0).normal(size=4000)
    slow = resample(sound, 8000, 4000)  # nothing near the end of the band
    word = (20000 * resample(slow, 4000, 8000) / np.abs(resample(slow, 4000, 8000)).max()).astype(np.int16)
    kept = keep_word(word, 8000)
    back = resample(read_word(kept), 16000, 8000)
    # keep_word may take off a few samples at both ends: they are found by the best shift.
    errors = [np.abs(back[:3000] - word[shift : shift + 3000] / 20000).max() for shift in range(100)]
    assert min(errors) < 0.03


@given(st.integers(1, 8000), st.integers(0, 2**32 - 1))
def test_any_word_is_a_second_of_sound_within_full_scale(length, seed):
    rng = np.random.default_rng(seed)
    sound = say_in_noise(rng.integers(0, 256, length).astype(np.uint8), rng)
    assert (sound.shape, sound.dtype) == ((SAMPLES,), np.int16)
    assert 3000 < np.abs(sound.astype(int)).max() <= 32767


def test_the_same_number_is_the_same_sound_and_another_one_is_in_another_noise():
    kept = keep_word(tone(500, 8000, 22050), 22050)
    first, again, other = (say_in_noise(kept, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_word_is_heard_over_the_noise():
    kept = keep_word(tone(1000, 11025, 22050), 22050)
    for seed in range(20):
        sound = say_in_noise(kept, np.random.default_rng(seed)).astype(float)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(SAMPLES)))
        assert abs(int(spectrum[200:].argmax()) + 200 - 1000) <= 3

"""Speech as a telephone has it: 8,000 samples a second, each a byte of µ-law; and said somewhere in a second of noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
"""Of what a model hears."""
SAMPLES = 16_000

_KEPT_HZ = 8_000
# Of the companding of telephones (ITU-T G.711, in its continuous form).
_MU = 255.0
# What is softer than so much of the loudest sample, before the word and after it, is no part of it.
_SOFT = 0.02
_BEFORE, _AFTER = 40, 80
# How much louder the word is than the noise, in dB, as powers over the word's time.
_OVER_NOISE_DB = (0.0, 20.0)
# The loudest sample of all, of full scale.
_LEVEL_DB = (-20.0, -1.0)


def keep_word(sound: NDArray[np.int16], rate_hz: int) -> NDArray[np.uint8]:
    """Return a spoken word `(n,)` without the silence around it, at most a second, as bytes of µ-law at 8,000 Hz."""
    slow = resample(sound.astype(np.float64), rate_hz, _KEPT_HZ)
    loud = np.flatnonzero(np.abs(slow) > _SOFT * np.abs(slow).max())
    if not len(loud):
        return np.full(1, 128, dtype=np.uint8)
    word = slow[max(0, loud[0] - _BEFORE) : loud[-1] + _AFTER][: _KEPT_HZ * SAMPLES // RATE_HZ]
    pressed = np.sign(word) * np.log1p(_MU * np.abs(word) / np.abs(word).max()) / np.log1p(_MU)
    kept: NDArray[np.uint8] = np.round(127.5 * (1 + pressed)).astype(np.uint8)
    return kept


def read_word(kept: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a kept word at 16,000 Hz, its loudest sample about 1."""
    pressed = kept / 127.5 - 1
    word = np.sign(pressed) * np.expm1(np.abs(pressed) * np.log1p(_MU)) / _MU
    return resample(word, _KEPT_HZ, RATE_HZ)


def say_in_noise(kept: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int16]:
    """Return a second `(16000,)` with the word in it: place, level, and the noise's colour, hum and strength are drawn."""
    word = read_word(kept)[:SAMPLES]
    begin = rng.integers(SAMPLES - len(word) + 1)
    noise = _draw_noise(rng)
    loudness = 10 ** (-rng.uniform(*_OVER_NOISE_DB) / 20)
    sound = noise * loudness * np.sqrt(np.mean(word**2) / np.mean(noise**2))
    sound[begin : begin + len(word)] += word
    level = 10 ** (rng.uniform(*_LEVEL_DB) / 20)
    heard: NDArray[np.int16] = np.round(32767 * level * sound / np.abs(sound).max()).astype(np.int16)
    return heard


def _draw_noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a second between white and pink, and in half of the cases the hum of the mains."""
    spectrum = np.fft.rfft(rng.normal(size=SAMPLES))
    pitches_hz = np.maximum(20.0, np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ))
    noise: NDArray[np.float64] = np.fft.irfft(spectrum * pitches_hz ** -rng.uniform(0.0, 0.5), SAMPLES)
    noise /= np.sqrt(np.mean(noise**2))
    times_s = np.arange(SAMPLES) / RATE_HZ
    mains_hz, loudness, phase = rng.choice([50.0, 60.0]), rng.uniform(0.3, 1.0), rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        for harmonic in (1, 2, 3, 5):
            noise += loudness / harmonic * np.sin(2 * np.pi * mains_hz * harmonic * times_s + phase)
    return noise


def resample(sound: NDArray[np.float64], rate_hz: int, other_hz: int) -> NDArray[np.float64]:
    """Return the sound `(n,)` at another rate, by its spectrum, so that nothing above half of either rate is left."""
    divisor = np.gcd(rate_hz, other_hz)
    count = -(-len(sound) * divisor // rate_hz) * (rate_hz // divisor)
    made = count * other_hz // rate_hz
    spectrum = np.fft.rfft(sound, count)
    resampled: NDArray[np.float64] = np.fft.irfft(spectrum[: made // 2 + 1], made) * made / count
    return resampled

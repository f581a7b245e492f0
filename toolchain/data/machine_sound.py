"""Sounds of four machines as spectra: sound ones, and in the test ones that rattle, whine or run out of balance too.

Made here, in the form of MLPerf Tiny's anomaly detection (Banbury et al. 2021, arXiv:2106.07597): 128 mel bands of five
frames of 1,024 values at 16 kHz, half of which the next frame shares.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.data.dataset import Dataset, hash_files
from toolchain.data.made import MadeSamples
from toolchain.project.toml_file import Section, check_table

BANDS, FRAMES = 128, 5

_INPUT = "input"
_RATE_HZ = 16_000
_FRAME, _HOP = 1024, 512
_LENGTH = _FRAME + (FRAMES - 1) * _HOP
# Revolutions a second, and how fast harmonics fade: of a fan, a pump, a compressor and a drill.
_MACHINES = ((49.0, 0.55), (97.0, 0.35), (148.0, 0.75), (213.0, 0.2))
_HARMONICS = 24
# Of the spectra in dB, so that most of the input lies between -3 and 3.
_MEAN_DB, _DEVIATION_DB = -11.0, 14.0


class Options(Section):
    """How many sounds each part has."""

    train_samples: Annotated[int, Field(ge=16)] = 6_000
    test_samples: Annotated[int, Field(ge=16)] = 2_000
    """Half of them anomalous, by turns."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the spectra `(N, 640)`, frame after frame; what is learnt from and calibrated with are sound machines."""
    chosen = check_table(Options, options, what="the options of machine_sound", where="data.options")
    train = _make_part("train", np.zeros(chosen.train_samples, dtype=np.int64))
    return Dataset(
        name="machine_sound",
        train=train,
        calibration=train,
        evaluation=_make_part("test", np.arange(chosen.test_samples) % 2),
        classes=None,
        licence="made by this module",
    )


def _make_part(part: str, anomalous: NDArray[np.int64]) -> MadeSamples:
    def make(index: int) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng([zlib.crc32(part.encode()), index])
        return {_INPUT: measure_spectra(draw_sound(rng, anomalous=bool(anomalous[index])))}

    return MadeSamples(
        count=len(anomalous),
        make=make,
        targets={"anomalous": anomalous} if anomalous.any() else {},
        sha256=hash_files(f"machine_sound {part} {len(anomalous)}: numpy {np.__version__}", [Path(__file__)]),
    )


def draw_sound(rng: np.random.Generator, *, anomalous: bool) -> NDArray[Any]:
    """Return 3,072 values of one machine's sound: harmonics of its speed and noise, both louder or softer by chance."""
    speed_hz, fading = _MACHINES[rng.integers(len(_MACHINES))]
    speed_hz *= rng.uniform(0.97, 1.03)
    numbers = np.arange(1, _HARMONICS + 1)
    loudness = numbers**-fading * 10 ** (rng.normal(scale=1.0, size=_HARMONICS) / 20)
    noise_db = rng.uniform(-1.5, 1.5)
    sound = _sum_tones(rng, speed_hz * numbers, loudness) + 10 ** (noise_db / 20) * _draw_noise(rng)
    if anomalous:
        sound += (_rattle, _whine, _unbalance)[rng.integers(3)](rng, speed_hz)
    return sound


def _rattle(rng: np.random.Generator, speed_hz: float) -> NDArray[Any]:
    """Return something loose that knocks once in a revolution, each knock 4 ms of noise that dies away."""
    times = np.arange(_LENGTH) / _RATE_HZ
    since = np.mod(times + rng.uniform(), 1 / speed_hz)
    loudness = 10 ** (rng.uniform(-6, 6) / 20)
    return loudness * np.exp(-since / 0.001) * rng.normal(size=_LENGTH)


def _whine(rng: np.random.Generator, speed_hz: float) -> NDArray[Any]:
    """Return a dry bearing: two tones beside each other that no harmonic has."""
    center_hz = rng.uniform(1500, 6500)
    loudness = 10 ** (rng.uniform(-16, -4) / 20)
    return _sum_tones(rng, np.array([center_hz, center_hz + speed_hz]), np.full(2, loudness))


def _unbalance(rng: np.random.Generator, speed_hz: float) -> NDArray[Any]:
    """Return harmonics of half the speed, as of a bent shaft."""
    loudness = 10 ** (rng.uniform(-8, 2) / 20)
    numbers = np.arange(1, 12, 2)
    return _sum_tones(rng, speed_hz / 2 * numbers, loudness * numbers**-0.3)


def _sum_tones(rng: np.random.Generator, pitches_hz: NDArray[Any], loudness: NDArray[Any]) -> NDArray[Any]:
    heard = pitches_hz < _RATE_HZ / 2
    times = np.arange(_LENGTH) / _RATE_HZ
    phases = rng.uniform(0, 2 * np.pi, size=len(pitches_hz))
    waves = np.sin(2 * np.pi * pitches_hz[heard, None] * times + phases[heard, None])
    total: NDArray[Any] = loudness[heard] @ waves
    return total


def _draw_noise(rng: np.random.Generator) -> NDArray[Any]:
    """Return noise that is softer in high pitches, as air and gears make it."""
    spectrum = np.fft.rfft(rng.normal(size=_LENGTH))
    pitches_hz = np.fft.rfftfreq(_LENGTH, 1 / _RATE_HZ)
    return np.fft.irfft(spectrum * 0.3 / np.sqrt(1 + pitches_hz / 500), _LENGTH)


def measure_spectra(sound: NDArray[Any]) -> NDArray[np.float32]:
    """Return the loudness in 128 mel bands of five frames `(640,)`, in dB, moved and scaled to lie around 0."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_HOP] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2 / _FRAME
    bands_db = 10 * np.log10(power @ _weigh_bands().T + 1e-6)
    spectra: NDArray[np.float32] = ((bands_db - _MEAN_DB) / _DEVIATION_DB).astype(np.float32).ravel()
    return spectra


@functools.cache
def _weigh_bands() -> NDArray[Any]:
    """Return how much each frequency counts in each mel band, `(128, 513)`: triangles, of sum 1 each."""
    top_mel = 2595 * np.log10(1 + _RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, BANDS + 2) / 2595) - 1)
    pitches_hz = np.fft.rfftfreq(_FRAME, 1 / _RATE_HZ)
    width_hz = _RATE_HZ / _FRAME  # a band is never narrower than a frequency
    centers = edges_hz[1:-1, None]
    below, above = (np.maximum(width_hz, np.abs(np.diff(edges_hz)))[part, None] for part in (slice(-1), slice(1, None)))
    distance = pitches_hz - centers
    weights = np.clip(1 - np.where(distance < 0, -distance / below, distance / above), 0, None)
    scaled: NDArray[Any] = weights / weights.sum(axis=1, keepdims=True)
    return scaled

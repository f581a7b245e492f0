import numpy as np
import pytest

from toolchain.data import load_dataset
from toolchain.data.machine_sound import draw_sound, measure_spectra
from toolchain.errors import ExitCode, ToolchainError


def test_what_is_learnt_is_sound_and_every_second_of_the_test_is_not():
    dataset = load_dataset("machine_sound", {"train_samples": 16, "test_samples": 20})
    assert dataset.train.targets == {}
    assert dataset.evaluation.targets["anomalous"].tolist() == [0, 1] * 10


def test_a_tone_stands_in_the_band_of_its_pitch():
    times = np.arange(3072) / 16_000
    spectra = measure_spectra(np.sin(2 * np.pi * 1000 * times)).reshape(5, 128)
    # 1,000 Hz is 1,000 mel, and the 129 edges of the bands divide the 2,840 mel of 8,000 Hz.
    assert set(spectra.argmax(axis=1)) <= {44, 45}


def test_no_band_is_deaf():
    spectra = measure_spectra(np.random.default_rng(0).normal(size=3072)).reshape(5, 128)
    silence = measure_spectra(np.zeros(3072)).reshape(5, 128)
    assert (spectra > silence + 1).all()


def test_the_parts_are_drawn_apart_and_alike():
    dataset = load_dataset("machine_sound", {})
    train, test = dataset.train.batch(0, 60)["input"], dataset.evaluation.take(np.arange(0, 120, 2))["input"]
    assert not np.array_equal(train, test)
    assert abs(train.mean() - test.mean()) < 0.2


def test_an_anomaly_is_more_than_the_noise_of_the_same_machine():
    sound, broken = (draw_sound(np.random.default_rng(5), anomalous=kind) for kind in (False, True))
    assert np.abs(sound - broken).max() > 0.1


@pytest.mark.parametrize("key", ["train_samples", "test_samples"])
def test_too_few_samples_are_refused_by_their_key(key):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("machine_sound", {key: 3})
    assert caught.value.code is ExitCode.USAGE
    assert key in str(caught.value)

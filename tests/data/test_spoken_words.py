"""Words by turns, in voices that are either learnt from or tested with; and what another espeak-ng changes."""

import shutil

import numpy as np
import pytest

from tests.data.stand_in_espeak import put_on_path
from toolchain.data import load_dataset, spoken_words
from toolchain.data.spoken_words import _TEST_VOICES, _TRAIN_VOICES, WORDS
from toolchain.errors import ExitCode, ToolchainError

FEW = {"train_samples": 24, "test_samples": 24}


@pytest.fixture
def speaker(tmp_path, monkeypatch):
    return put_on_path(tmp_path, monkeypatch)


def test_the_words_come_by_turns_and_are_sounds_of_a_second(speaker):
    data = load_dataset("spoken_words", FEW)
    assert data.classes == WORDS
    assert len(WORDS) == len(set(WORDS)) == 12
    assert data.train.targets["labels"].tolist() == [*range(12), *range(12)]
    batch = data.train.batch(0, 3)["input"]
    assert (batch.shape, batch.dtype) == ((3, 16000), np.float32)
    assert 0.05 < np.abs(batch).max() <= 1.0


def test_no_voice_of_the_test_is_learnt_from(speaker, monkeypatch):
    said = {"train": set(), "test": set()}
    for part, voices in said.items():
        for index in range(12 * 80):
            utterance = spoken_words._choose_utterance(part, index, np.random.default_rng(index))
            voices.add(utterance.variant)
    assert said == {"train": set(_TRAIN_VOICES), "test": set(_TEST_VOICES)}
    assert not said["train"] & said["test"]
    assert len(said["test"]) == 20


def test_another_version_and_other_samples_of_the_same_version_have_another_hash(tmp_path, monkeypatch):
    hashes = set()
    for number, options in enumerate(({}, {"version": "1.52"}, {"voices": None})):
        folder = tmp_path / str(number)
        folder.mkdir()
        if "voices" in options:
            from tests.data.stand_in_espeak import _SPEAKS

            put_on_path(folder, monkeypatch, speaks=_SPEAKS.replace("9000", "8000 + n // 2"))
        else:
            put_on_path(folder, monkeypatch, **options)
        data = load_dataset("spoken_words", FEW)
        hashes |= {data.train.sha256, data.evaluation.sha256}
    assert len(hashes) == 6


def test_without_espeak_ng_it_is_exit_3_before_anything_is_spoken(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError) as caught:
        load_dataset("spoken_words", {})
    assert caught.value.code is ExitCode.MISSING
    assert "apt install espeak-ng" in caught.value.fix


@pytest.mark.parametrize("key", ["train_samples", "test_samples"])
def test_too_few_samples_are_refused_by_their_key(speaker, key):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("spoken_words", {key: 3})
    assert caught.value.code is ExitCode.USAGE
    assert key in str(caught.value)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_no_two_voices_are_the_same_one():
    from toolchain.data.espeak import Utterance, speak

    def say(variant):
        return speak(
            Utterance(text="left", language="en-us", variant=variant, words_per_minute=165, pitch=50)
        ).tobytes()

    voices = [*_TRAIN_VOICES, *_TEST_VOICES]
    assert len({say(variant) for variant in voices}) == len(voices)

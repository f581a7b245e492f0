"""The words that lie in the repository: of the right voices, and read without espeak-ng."""

import shutil

import numpy as np
import pytest

from tests.data.stand_in_espeak import put_on_path
from toolchain.data import load_dataset, spoken_words_small
from toolchain.data.make_spoken_words_small import make_archive
from toolchain.data.spoken_words import WORDS, speak_word
from toolchain.errors import ExitCode, ToolchainError


@pytest.fixture
def silent(tmp_path, monkeypatch):
    """Take espeak-ng off the path."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_it_is_balanced_and_needs_no_espeak_ng(silent):
    data = load_dataset("spoken_words_small", {})
    assert (len(data.calibration), len(data.evaluation), data.train) == (240, 1200, None)
    assert data.classes == WORDS
    for part in (data.calibration, data.evaluation):
        assert set(np.bincount(part.targets["labels"])) == {len(part) // 12}
    batch = data.evaluation.batch(0, 12)["input"]
    assert (batch.shape, batch.dtype) == ((12, 16000), np.float32)


def test_a_word_is_heard_in_another_noise_each_time_and_times_is_how_often(silent):
    data = load_dataset("spoken_words_small", {"times": 2})
    assert len(data.evaluation) == 480
    first, again = data.evaluation.take(np.array([7, 247]))["input"]
    assert not np.array_equal(first, again)
    assert load_dataset("spoken_words_small", {"times": 1}).evaluation.sha256 != data.evaluation.sha256


def test_it_is_small_and_its_licence_lies_beside():
    assert spoken_words_small.FILE.stat().st_size < 1_000_000
    text = spoken_words_small.FILE.with_name("spoken_words_small.LICENSE.txt").read_text()
    assert "GNU General Public License" in text


def test_making_it_twice_gives_the_same_bytes(tmp_path, monkeypatch):
    put_on_path(tmp_path, monkeypatch)
    first, second = (make_archive([speak_word("train", 0)], [speak_word("test", 0)]) for _ in range(2))
    assert first == second


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_its_words_are_those_that_espeak_ng_1_51_speaks():
    from toolchain.data.espeak import read_version

    if "1.51" not in read_version():
        pytest.skip("the file was made by espeak-ng 1.51")
    arrays = np.load(spoken_words_small.FILE)
    for part, source in (("calibration", "train"), ("evaluation", "test")):
        words, offsets = arrays[f"{part}_words"], arrays[f"{part}_offsets"]
        for index in (0, len(offsets) - 2):
            assert np.array_equal(words[offsets[index] : offsets[index + 1]], speak_word(source, index))


def test_a_file_without_an_array_is_broken(tmp_path, monkeypatch):
    np.savez(tmp_path / "small.npz", calibration_words=np.zeros(4, np.uint8))
    monkeypatch.setattr(spoken_words_small, "FILE", tmp_path / "small.npz")
    with pytest.raises(ToolchainError) as caught:
        load_dataset("spoken_words_small", {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)

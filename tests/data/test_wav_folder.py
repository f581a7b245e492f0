"""Sounds in class folders, or with texts."""

import numpy as np
import pytest
import soundfile

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError

RATE_HZ = 8000


def write_sound(path, seed=0, *, rate_hz=RATE_HZ, channels=1, length=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels))
    soundfile.write(path, noise, rate_hz)


def write_sounds(folder, classes=("no", "yes")):
    """Write two sounds of each class for each part, and return the options."""
    for seed, (part, name, number) in enumerate(
        (p, n, i) for p in ("train", "test") for n in classes for i in range(2)
    ):
        write_sound(folder / part / name / f"{number}.wav", seed)
    return {"folder": str(folder), "rate_hz": RATE_HZ, "length_samples": 120}


def write_texts(folder, text="a/0.wav\tgrüße\nb.wav\tone two\n"):
    """Write two sounds with texts for each part, and return the options."""
    for seed, part in enumerate(("train", "test")):
        write_sound(folder / part / "a/0.wav", 2 * seed)
        write_sound(folder / part / "b.wav", 2 * seed + 1)
        (folder / part / "texts.tsv").write_text(text)
    return {"folder": str(folder), "rate_hz": RATE_HZ, "length_samples": 120, "targets": "texts"}


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("wav_folder", options)
    return caught.value


def test_classes_are_folders_and_come_in_turn(tmp_path):
    data = load_dataset("wav_folder", write_sounds(tmp_path))
    assert data.classes == ("no", "yes")
    assert data.evaluation.targets["labels"].tolist() == [0, 1, 0, 1]
    sounds = data.evaluation.batch(0, 4)["input"]
    assert (sounds.shape, sounds.dtype) == ((4, 120), np.float32)
    assert not sounds[:, 100:].any()
    assert data.evaluation.name_sample(1) == str(tmp_path / "test/yes/0.wav")


def test_texts_are_the_bytes_of_each_line(tmp_path):
    data = load_dataset("wav_folder", write_texts(tmp_path))
    text = data.evaluation.targets["text"]
    assert [bytes(text.read(index)).decode() for index in range(2)] == ["grüße", "one two"]
    assert text.values.dtype == np.uint8
    assert data.classes is None


def test_sounds_of_another_rate_of_two_channels_and_of_nothing_are_all_counted(tmp_path):
    options = write_sounds(tmp_path)
    write_sound(tmp_path / "train/no/0.wav", rate_hz=16000)
    write_sound(tmp_path / "test/no/0.wav", rate_hz=44100)
    write_sound(tmp_path / "test/yes/0.wav", channels=2)
    write_sound(tmp_path / "test/yes/1.wav", length=0)
    (tmp_path / "train/yes/1.wav").write_bytes(b"RIFF")
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert error.what == (
        "the data have 5 faults: a sound of another rate (2), a sound that cannot be read (1), "
        "a sound of several channels (1), a sound without a sample (1)"
    )
    assert f"{tmp_path}/train/no/0.wav: 16000 Hz" in error.found
    assert "8000 Hz" in error.expected
    assert "sox" in error.fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a/0.wav\tone\n", "a sound without a text (2)"),
        ("a/0.wav\tone\nb.wav\ttwo\nb.wav\ttwo\n", "a sound that is listed twice (2)"),
        ("a/0.wav\tone\nb.wav\ttwo\nc.wav\tthree\n", "a text of a sound that is not there (2)"),
        ("a/0.wav\tone\nb.wav\ttwo\n../test/b.wav\tthree\n", "a text of a sound that is not there (2)"),
        ("a/0.wav\tone\nb.wav\t \n", "a line that is no text of a sound (2)"),
        ("a/0.wav\tone\nb.wav two\n", "a line that is no text of a sound (2)"),
    ],
)
def test_texts_that_do_not_fit_the_sounds_are_counted(tmp_path, text, what):
    error = refuse(write_texts(tmp_path, text))
    assert error.code is ExitCode.USAGE
    assert what in error.what


def test_a_sound_that_would_be_cut_and_its_text_not_is_refused_and_with_a_class_it_is_cut(tmp_path):
    options = write_texts(tmp_path) | {"length_samples": 99}
    assert "a sound longer than the model's input, with a text of all of it (4)" in refuse(options).what
    load_dataset("wav_folder", options | {"length_samples": 100})
    load_dataset("wav_folder", write_sounds(tmp_path / "classes") | {"length_samples": 99})


def test_texts_that_are_not_there_are_exit_3_and_others_than_utf_8_exit_23(tmp_path):
    options = write_texts(tmp_path)
    (tmp_path / "test/texts.tsv").write_bytes(b"a/0.wav\t\xff\n")
    assert refuse(options).code is ExitCode.MALFORMED
    (tmp_path / "test/texts.tsv").unlink()
    assert refuse(options).code is ExitCode.MISSING


def test_a_missing_folder_says_the_layout(tmp_path):
    error = refuse(write_sounds(tmp_path / "a") | {"folder": str(tmp_path / "none")})
    assert error.code is ExitCode.MISSING
    assert "train/CLASS" in error.fix


def test_the_hash_sees_options_sounds_and_texts(tmp_path):
    options = write_texts(tmp_path)
    hashes = {load_dataset("wav_folder", options | change).train.sha256 for change in ({}, {"length_samples": 109})}
    (tmp_path / "train/texts.tsv").write_text("a/0.wav\tone\nb.wav\ttwo\n")
    hashes.add(load_dataset("wav_folder", options).train.sha256)
    write_sound(tmp_path / "train/b.wav", 99, length=99)
    hashes.add(load_dataset("wav_folder", options).train.sha256)
    assert len(hashes) == 4

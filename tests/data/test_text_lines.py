import numpy as np
import pytest

from toolchain.data import load_dataset
from toolchain.data.text_lines import ALPHABET
from toolchain.errors import ExitCode, ToolchainError


def read_texts(part):
    target = part.targets["text"]
    return [bytes(target.read(index)).decode() for index in range(len(target))]


def test_texts_are_of_the_alphabet_and_none_is_in_both_parts():
    dataset = load_dataset("text_lines", {"train_samples": 4000, "test_samples": 1000})
    train, test = read_texts(dataset.train), read_texts(dataset.evaluation)
    assert {letter for text in train for letter in text} == set(ALPHABET)
    assert {len(text) for text in train} == set(range(3, 9))
    assert not set(train) & set(test)


def test_every_line_has_its_ink_within_the_picture():
    pictures = load_dataset("text_lines", {}).train.batch(0, 200)["input"][:, 0]
    assert pictures.shape == (200, 24, 128)
    paper = np.median(pictures, axis=(1, 2))
    darkest = np.percentile(pictures, 99, axis=(1, 2))
    assert (darkest - paper > 0.15).all()
    edges = np.percentile(pictures[:, :, [0, 1, -2, -1]], 90, axis=(1, 2))
    assert (edges - paper < (darkest - paper)).all()


def test_a_part_of_fewer_lines_has_the_same_lines():
    few, more = (load_dataset("text_lines", {"test_samples": count}).evaluation for count in (16, 32))
    assert np.array_equal(few.batch(0, 16)["input"], more.batch(0, 16)["input"])
    assert few.sha256 != more.sha256


def test_too_few_lines_are_refused_by_their_key():
    with pytest.raises(ToolchainError) as caught:
        load_dataset("text_lines", {"test_samples": 0})
    assert caught.value.code is ExitCode.USAGE
    assert "test_samples" in str(caught.value)

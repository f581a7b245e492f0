import numpy as np
import pytest

from toolchain.data import language_words, load_dataset
from toolchain.data.language_words import LENGTH, LETTERS, number_letters
from toolchain.errors import ExitCode, ToolchainError


def read_words(part):
    """Return the words of some texts, by language."""
    arrays, found = part.batch(0, 700), {}
    for tokens, label in zip(arrays["tokens"], part.targets["labels"], strict=False):
        text = "".join(LETTERS[token - 2] for token in tokens if token)
        # The last word may be cut.
        found.setdefault(int(label), set()).update(text.split()[:-1])
    return found


def test_a_word_of_the_test_is_in_no_text_of_the_training():
    dataset = load_dataset("language_words", {})
    train, test = read_words(dataset.train), read_words(dataset.evaluation)
    assert len(dataset.classes) == 7
    assert all(len(train[label]) > 400 for label in range(7))
    assert not set.union(*train.values()) & set.union(*test.values())


def test_the_mask_is_of_the_letters_and_no_letter_is_unknown():
    arrays = load_dataset("language_words", {}).evaluation.batch(0, 300)
    assert (arrays["tokens"].dtype, arrays["mask"].dtype) == (np.int64, np.float32)
    assert np.array_equal(arrays["mask"], (arrays["tokens"] != 0).astype(np.float32))
    assert (arrays["tokens"] != 1).all()
    lengths = arrays["mask"].sum(axis=1)
    assert lengths.min() < lengths.max() == LENGTH


def test_texts_of_any_length_and_letter_are_numbers():
    assert number_letters("")["mask"].sum() == 0
    assert number_letters("x" * 1000)["mask"].sum() == LENGTH
    assert number_letters("aЖ")["tokens"][:3].tolist() == [LETTERS.index("a") + 2, 1, 0]


def test_the_letters_are_different_ones():
    assert len(set(LETTERS)) == len(LETTERS)


def test_the_licence_lies_beside():
    text = language_words.FILE.with_name("language_words.LICENSE.txt").read_text()
    assert "The MIT License" in text
    assert "Pavol Rusnak" in text


@pytest.mark.parametrize("text", ["", "english a b c\nfrench d e f\n"])
def test_lists_of_another_length_are_a_broken_file(tmp_path, monkeypatch, text):
    path = tmp_path / "language_words.txt"
    path.write_text(text)
    monkeypatch.setattr(language_words, "FILE", path)
    with pytest.raises(ToolchainError) as caught:
        load_dataset("language_words", {})
    assert caught.value.code is ExitCode.MALFORMED
    assert "2048" in caught.value.expected

import numpy as np
import pytest

from tests.agent.measure.text_bundle import INPUTS, TEXTS, read_tokenizer
from tests.texts import write_vocabulary
from toolchain.bundle.hard_texts import list_hard_texts
from toolchain.bundle.texts import GoldenTexts, write_texts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "golden").mkdir()
    return tmp_path


def test_vocabulary_texts_and_tokens_are_written(folder):
    text = read_tokenizer()
    pairs = write_texts(GoldenTexts(text=text, texts=TEXTS), INPUTS, folder)
    assert (folder / text.spec.file).read_bytes() == write_vocabulary()
    data, ends = np.load(folder / pairs.utf8).tobytes(), np.load(folder / pairs.offsets)
    texts = [data[ends[index] : ends[index + 1]].decode() for index in range(len(ends) - 1)]
    assert texts == [*TEXTS, *list_hard_texts(16)]
    for name, array in text.tokenizer.tokenize(texts, text.ids).items():
        assert np.array_equal(np.load(folder / pairs.inputs[name]), array)


@pytest.mark.parametrize("length", [1, 3, 16, 512])
def test_the_hard_texts_are_cut_by_none_by_one_and_by_many_tokens(length):
    texts = list_hard_texts(length)
    assert {len(text.split()) for text in texts} >= {max(0, length - 2), length - 1, length, 2 * length}
    assert "" in texts
    assert len(set(texts)) >= 20

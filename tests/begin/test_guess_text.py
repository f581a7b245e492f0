import tomllib

import pytest

from tests.texts import write_byte_bpe_json, write_tokenizer_json
from toolchain.begin.brought import Tensor
from toolchain.begin.guess_text import guess_text


def make_inputs(*names, dtype="int64", axes=("batch", 128)):
    return [Tensor(name=name, dtype=dtype, axes=axes) for name in names]


def test_a_bert_with_its_tokenizer_beside_it_is_guessed_whole(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("")
    guess = guess_text(make_inputs("input_ids", "attention_mask", "token_type_ids"), tmp_path)
    document = tomllib.loads("\n".join(guess.write(has_texts=True)))
    assert document["input"]["text"] == {
        "tokenizer": "wordpiece", "file": "tokenizer.json", "length": 128,
        "ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids",
    }  # fmt: skip
    assert "tokenizer.json lies beside" in guess.describe()


@pytest.mark.parametrize(
    ("data", "tokenizer"),
    [
        (write_byte_bpe_json(), "byte_bpe"),
        (write_tokenizer_json(), "wordpiece"),
        (b"[1]", "wordpiece"),
        (b"[" * 100_000, "wordpiece"),
        (b'{"model": {"type": "Unigram"}}', None),
        (b'{"model": {"type": []}}', None),
    ],
    ids=["pairs", "words", "a list", "deep", "unigram", "no kind"],
)
def test_the_tokenizer_is_the_one_that_the_file_says(tmp_path, data, tokenizer):
    (tmp_path / "tokenizer.json").write_bytes(data)
    guess = guess_text(make_inputs("input_ids", "attention_mask"), tmp_path)
    document = tomllib.loads("\n".join(guess.write(has_texts=True)))
    assert document.get("input", {}).get("text", {}).get("tokenizer") == tokenizer
    assert ("in the application" in guess.describe()) == (tokenizer is None)


@pytest.mark.parametrize(("files", "has_texts", "axes"), [((), True, ("n", 8)), (("vocab.txt",), True, ("n", 8)),
                                                          (("tokenizer.json",), False, ("n", 8)),
                                                          (("tokenizer.json",), True, ("n", "length"))])  # fmt: skip
def test_what_is_not_known_stays_a_comment(tmp_path, files, has_texts, axes):
    for name in files:
        (tmp_path / name).touch()
    guess = guess_text(make_inputs("tokens", "mask", axes=axes), tmp_path)
    lines = guess.write(has_texts=has_texts)
    assert tomllib.loads("\n".join(lines)) == {}
    assert any('ids = "tokens", mask = "mask"' in line for line in lines)


@pytest.mark.parametrize(
    "inputs",
    [
        make_inputs("picture"),
        make_inputs("input_ids", dtype="float32"),
        make_inputs("input_ids", "position_ids"),
        make_inputs("attention_mask"),
        [],
    ],
    ids=["a picture", "floats", "what no tokenizer makes", "a mask alone", "nothing"],
)
def test_other_inputs_are_no_text(tmp_path, inputs):
    assert guess_text(inputs, tmp_path) is None

"""Texts in CSV files, as numbers of tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError

ROWS = 'text,label\nhallo,de\n"a, b",en\ngrüß,de\n'


def write_texts(folder, train=ROWS, evaluation="text,label\nja,de\nyes,en\n", **options):
    for part, text in (("train", train), ("evaluation", evaluation)):
        (folder / f"{part}.csv").write_text(text)
        options[part] = str(folder / f"{part}.csv")
    return {"classes": ["de", "en"], "length": 6} | options


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("csv_text", options)
    assert caught.value.code is ExitCode.USAGE
    return caught.value


def test_a_number_for_each_byte_and_a_mask_of_where_they_are(tmp_path):
    data = load_dataset("csv_text", write_texts(tmp_path))
    batch = data.train.batch(0, 2)
    assert batch["input_ids"].tolist() == [[1 + byte for byte in b"hallo"] + [0], [98, 45, 33, 99, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]]
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    assert data.train.targets["labels"].tolist() == [0, 1, 0]
    assert data.train.name_sample(2) == f"{tmp_path}/train.csv, line 4"
    assert data.names_inputs


def test_a_number_for_each_letter_of_the_alphabet(tmp_path):
    options = write_texts(tmp_path, tokens="letters", alphabet="yes ja", evaluation="text,label\nja,de\nyes,en\n")
    options["train"] = options["evaluation"]
    batch = load_dataset("csv_text", options | {"with_mask": False}).evaluation.batch(0, 2)
    assert {name: rows.tolist() for name, rows in batch.items()} == {
        "input_ids": [[5, 6, 0, 0, 0, 0], [1, 2, 3, 0, 0, 0]]
    }


def test_a_long_text_is_cut(tmp_path):
    options = write_texts(tmp_path, length=2)
    batch = load_dataset("csv_text", options).train.batch(0, 1)
    assert batch["input_ids"].tolist() == [[1 + ord("h"), 1 + ord("a")]]


def test_letters_that_the_alphabet_lacks_are_all_counted_and_named(tmp_path):
    error = refuse(write_texts(tmp_path, tokens="letters", alphabet="abhlo, yejs"))
    assert "a letter that the alphabet lacks (1)" in error.what
    assert f"{tmp_path}/train.csv, line 4: 'g' in 'grüß'" in error.found


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (",de", "a text without a letter"),
        ("hi,fr", "a class beyond the names"),
        ("hi", "a row of another number of cells"),
    ],
)
def test_a_broken_row_is_refused_by_its_line(tmp_path, row, what):
    error = refuse(write_texts(tmp_path, evaluation=f"text,label\nja,de\n{row}\n"))
    assert what in error.what
    assert f"{tmp_path}/evaluation.csv, line 3" in error.found


@pytest.mark.parametrize(
    "options",
    [
        {"alphabet": "ab"}, {"tokens": "letters"}, {"tokens": "letters", "alphabet": ""},
        {"tokens": "letters", "alphabet": "aa"}, {"text": "none"}, {"length": 0}, {"tokens": "words"},
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(tmp_path, options):
    assert refuse(write_texts(tmp_path) | options).fix


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=5)
)
def test_bytes_are_read_back_from_their_numbers(tmp_path_factory, texts):
    quoted = "text,label\n" + "".join('"{}",0\n'.format(text.replace('"', '""')) for text in texts)
    folder = tmp_path_factory.mktemp("csv")
    for part in ("train", "evaluation"):
        (folder / f"{part}.csv").write_bytes(quoted.encode())
    options = {part: str(folder / f"{part}.csv") for part in ("train", "evaluation")}
    batch = load_dataset("csv_text", options).train.batch(0, len(texts))
    found = [bytes((ids[mask == 1] - 1).astype(np.uint8)) for ids, mask in zip(*batch.values(), strict=True)]
    assert found == [text.encode() for text in texts]

import numpy as np
import pytest

from tests.agent.measure.text_bundle import TEXTS, read_tokenizer
from toolchain.data.dataset import Dataset
from toolchain.data.npz import ArraySamples
from toolchain.data.texts import check_tokens, sense_texts
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.text_section import change_text

TEXT = read_tokenizer()
TOKENS = TEXT.tokenizer.tokenize(TEXTS, TEXT.ids)


def make_dataset(texts=TEXTS, **arrays):
    strings = None if texts is None else np.array(texts)
    samples = ArraySamples(arrays={**TOKENS, **arrays}, targets={}, sha256="made", texts=strings)
    return Dataset(name="made", train=None, calibration=samples, evaluation=samples, classes=None, licence=None)


def refuse(call, *arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        call(*arguments, **options)
    assert caught.value.code == ExitCode.USAGE
    return caught.value


def test_texts_come_as_the_tokenizer_of_the_board_makes_them_in_the_types_of_the_data():
    sensed = sense_texts(make_dataset(attention_mask=TOKENS["attention_mask"].astype(np.float32)), TEXT, where="here")
    batch = sensed.sensor.evaluation.batch(1, 4)
    assert all(np.array_equal(batch[name], array[1:4]) for name, array in TOKENS.items())
    assert batch["attention_mask"].dtype == np.float32
    assert sensed.sensor.evaluation.batch(5, 99)["input_ids"].shape == (1, 16)
    assert sensed.is_independent
    assert len(sensed.sensor.evaluation) == len(TEXTS)


def test_the_hash_says_the_tokenizer():
    other = change_text(TEXT, lowercase=False)
    hashes = {sense_texts(make_dataset(), text, where="here").sensor.evaluation.sha256 for text in (TEXT, other)}
    assert len(hashes) == 2


def test_tokens_without_texts_prove_nothing():
    assert "no texts" in refuse(sense_texts, make_dataset(None), TEXT, where="here").what


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"other": np.zeros((6, 16), np.int64)}, "inputs are not those"),
        ({"input_ids": TOKENS["input_ids"][:, :8]}, "another length"),
        ({"input_ids": TOKENS["input_ids"].astype(np.float32)}, "another length or type"),
        ({"token_type_ids": TOKENS["token_type_ids"].astype(np.uint8)}, "another length or type"),
    ],
)
def test_other_inputs_than_the_tokenizer_makes_are_refused(arrays, word):
    assert word in refuse(sense_texts, make_dataset(**arrays), TEXT, where="here").what


def check(prepared, text=TEXT, texts=TEXTS):
    check_tokens(prepared, texts, text, where="here", names=[f"line {index}" for index in range(len(texts))])


def test_the_same_tokens_are_taken():
    check(TOKENS)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"lowercase": False, "strip_accents": False}, "lowercase = true, strip_accents = true"),
        ({"strip_accents": False}, "strip_accents = true"),
        ({"special_in_text": False}, "special_in_text = true"),
        ({"lowercase": False, "special_in_text": False}, "name the file"),
    ],
)
def test_settings_that_were_mixed_up_are_named(changes, fix):
    error = refuse(check, TOKENS, change_text(TEXT, **changes))
    assert fix in error.fix
    assert "line " in error.where


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids"])
def test_one_other_number_is_refused_by_sample_input_and_place(name):
    wrong = {key: array.copy() for key, array in TOKENS.items()}
    wrong[name][2, 5] += 1
    error = refuse(check, wrong)
    assert all(part in error.where for part in ("line 2", name, "token 5"))


def test_tokens_of_another_length_are_refused():
    refuse(check, {"input_ids": TOKENS["input_ids"][:, :8]})

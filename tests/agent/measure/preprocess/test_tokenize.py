from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from tests.texts import ALPHABET, BYTE, LETTER, PAIRS, TEXTS, TOKENS, WORDS, make_tokenizer
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.tokenize import TEXT_BYTES_MAX

_TOKENIZERS = {spec.tokenizer: make_tokenizer(spec) for spec in (WORDS, PAIRS)}


def read(tokenizer, text):
    return [TOKENS[number] for number in tokenizer.number(text)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("Hello, WORLD!", ["hello", ",", "world", "!"]),
        ("unaffable", ["un", "##aff", "##able"]),
        ("École e\u0301cole", ["ecole", "ecole"]),
        ("İstanbul", ["istanbul"]),
        ("ΣΣ", ["σ", "##σ"]),  # the last one too: no letter looks at its neighbours
        ("你好", ["你", "好"]),
        ("a\x00b\u200bc", ["a", "##b", "##c"]),
        ("héllo\u00a0world", ["hello", "world"]),
        ("x" * 101, ["[UNK]"]),
        ("ж", ["[UNK]"]),
        ("[SEP] [sep]", ["[SEP]", "[", "s", "##e", "##p", "]"]),
    ],
)
def test_a_text_becomes_these_tokens(text, tokens):
    assert read(make_tokenizer(), text) == ["[CLS]", *tokens, "[SEP]"]


def test_a_cased_vocabulary_keeps_case_and_accents():
    cased = make_tokenizer(replace(WORDS, lowercase=False, strip_accents=False))
    assert read(cased, "Hello école")[1:-1] == ["Hello", "école"]


def test_a_text_that_may_not_say_special_tokens_says_words():
    plain = make_tokenizer(replace(WORDS, special_in_text=False, length=32))
    assert read(plain, "[SEP]")[1:-1] == ["[", "s", "##e", "##p", "]"]


def test_a_long_text_is_cut_before_its_end_token():
    tokenizer = make_tokenizer()
    assert read(tokenizer, "a " * 14) == ["[CLS]", *"a" * 14, "[SEP]"]
    assert read(tokenizer, "a " * 400) == ["[CLS]", *"a" * 14, "[SEP]"]


def test_the_inputs_are_filled_up_and_the_mask_says_where_tokens_are():
    made = make_tokenizer().tokenize(["hello", ""], "input_ids")
    assert {name: array.shape for name, array in made.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), (2, 16)
    )
    assert made["attention_mask"].sum(axis=1).tolist() == [3, 2]
    assert (made["input_ids"][made["attention_mask"] == 0] == TOKENS.index("[PAD]")).all()
    assert not made["token_type_ids"].any()


def test_a_padding_token_that_is_not_the_first_fills_up():
    tokens = ("[UNK]", "[CLS]", "[SEP]", "a", "[PAD]")
    made = make_tokenizer(replace(WORDS, length=5), tokens).tokenize(["a"], "x")["x"]
    assert made.tolist() == [[1, 3, 2, 4, 4]]


def test_each_character_is_the_line_that_it_stands_in():
    tokenizer = make_tokenizer(LETTER)
    assert tokenizer.number("b a😀Ж") == [ALPHABET.index(letter) for letter in "b a😀"] + [1]
    assert tokenizer.number("[PAD]") == [1, 1, 1, 1, 1]
    assert tokenizer.number("e\u0301") == [ALPHABET.index("e"), 1]
    assert len(tokenizer.number("a" * 100)) == 16


@given(TEXTS)
def test_each_byte_is_one_more_than_itself(text):
    numbers = make_tokenizer(BYTE).number(text)
    assert bytes(number - 1 for number in numbers) == text.encode()[:16]


def test_the_size_is_above_every_token():
    assert make_tokenizer().size == len(TOKENS)
    assert make_tokenizer(BYTE).size == 257
    assert make_tokenizer(BYTE).number("\U0010ffff")[0] < 257


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\ud800b", "surrogate"),
        ("\udfff", "surrogate"),
        ("a" * (TEXT_BYTES_MAX + 1), str(TEXT_BYTES_MAX + 1)),
        (b"a", "bytes"),
    ],
    ids=["half a character", "the other half", "a megabyte", "bytes"],
)
@pytest.mark.parametrize("spec", [WORDS, LETTER, BYTE, PAIRS], ids=["words", "letters", "bytes", "pairs"])
def test_what_is_no_text_is_refused_in_words(spec, text, found):
    with pytest.raises(ToolchainError) as caught:
        make_tokenizer(spec).number(text)
    assert caught.value.code == ExitCode.USAGE
    assert found in caught.value.found


def test_pairs_stand_between_their_ends_and_are_filled_up_with_their_own_padding():
    tokenizer = make_tokenizer(PAIRS)
    assert len(tokenizer.number("hello " * 40)) == 16
    numbers, mask = (tokenizer.tokenize(["hello"], "x")[name][0].tolist() for name in ("x", "attention_mask"))
    assert (numbers[0], numbers[2:]) == (0, [2, *[1] * 13])
    assert mask == [1, 1, 1, *[0] * 13]


def test_a_length_without_room_for_a_text_is_refused():
    with pytest.raises(ToolchainError) as caught:
        make_tokenizer(replace(PAIRS, length=2))
    assert (caught.value.where, caught.value.expected) == ("input.text.length", "3 or more")


@pytest.mark.parametrize("spec", [WORDS, PAIRS], ids=["words", "pairs"])
@given(text=TEXTS)
def test_tokens_of_any_text_are_within_the_vocabulary_and_the_length(spec, text):
    tokenizer = _TOKENIZERS[spec.tokenizer]
    numbers = tokenizer.number(text)
    assert 2 <= len(numbers) <= 16
    assert max(numbers) < tokenizer.size
    assert np.array_equal(tokenizer.tokenize([text], "x")["x"][0][: len(numbers)], numbers)

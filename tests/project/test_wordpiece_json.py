import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given

from tests.texts import TEXTS, TOKENS, WORDS, make_tokenizer, write_tokenizer_json, write_vocabulary
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.wordpiece_json import read_wordpiece_json

_PATH = Path("tokenizer.json")


def read(data):
    return read_wordpiece_json(data, _PATH)


def test_a_tokenizer_of_bert_is_read_with_its_settings():
    found = read(write_tokenizer_json())
    assert found.vocabulary == write_vocabulary()
    assert (found.lowercase, found.strip_accents, found.split_cjk) == (True, True, True)
    cased = read(write_tokenizer_json(normalizer__lowercase=False, normalizer__handle_chinese_chars=False))
    assert (cased.lowercase, cased.strip_accents, cased.split_cjk) == (False, False, False)
    kept = read(write_tokenizer_json(normalizer__strip_accents=False))
    assert (kept.lowercase, kept.strip_accents) == (True, False)


def test_both_ways_to_write_its_ends_are_read():
    ends = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert read(write_tokenizer_json(post_processor=ends)).vocabulary == write_vocabulary()


def test_truncation_and_padding_of_their_own_length_are_read():
    truncation = {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "[PAD]"}  # fmt: skip
    read(write_tokenizer_json(truncation=truncation, padding=padding))


def test_what_the_other_implementation_makes_of_the_same_file_is_what_we_make():
    theirs = tokenizers.Tokenizer.from_str(write_tokenizer_json().decode())
    theirs.enable_truncation(WORDS.length)
    ours = make_tokenizer()

    @given(TEXTS)
    def check(text):
        assert ours.number(text) == theirs.encode(text).ids

    check()


@pytest.mark.parametrize(
    ("place", "value", "word"),
    [
        ("model__type", "BPE", "model.type"),
        ("model__type", "Unigram", "model.type"),
        ("model__unk_token", "<unk>", "model.unk_token"),
        ("model__continuing_subword_prefix", "@@", "continuing_subword_prefix"),
        ("model__max_input_chars_per_word", 200, "max_input_chars_per_word"),
        ("model__dropout", 0.1, "model.dropout"),
        ("model__vocab", {"[PAD]": 0, "[UNK]": 0}, "model.vocab"),
        ("model__vocab", {"[PAD]": 0, "[UNK]": 2}, "model.vocab"),
        ("model__vocab", {"[PAD]": "0"}, "model.vocab"),
        ("normalizer", None, "normalizer"),
        ("normalizer__type", "Sequence", "normalizer.type"),
        ("normalizer__clean_text", False, "clean_text"),
        ("normalizer__lowercase", "yes", "normalizer.lowercase"),
        ("normalizer__prepend", "x", "normalizer.prepend"),
        ("pre_tokenizer__type", "Whitespace", "pre_tokenizer"),
        ("pre_tokenizer", None, "pre_tokenizer"),
        ("post_processor", None, "post_processor"),
        ("post_processor__type", "RobertaProcessing", "post_processor.type"),
        ("post_processor__single", [{"Sequence": {"id": "A", "type_id": 0}}], "post_processor.single"),
        ("post_processor__single__0__SpecialToken__type_id", 1, "post_processor.single"),
        ("post_processor__special_tokens", {}, "special_tokens"),
        ("added_tokens__0__lstrip", True, "added_tokens[0].lstrip"),
        ("added_tokens__4__rstrip", True, "added_tokens[4].rstrip"),
        ("added_tokens__1__normalized", True, "added_tokens[1].normalized"),
        ("added_tokens__1__special", False, "added_tokens[1].special"),
        ("added_tokens__1__content", "<extra>", "added_tokens[1].content"),
        ("added_tokens__1__id", 7, "added_tokens[1].id"),
        ("added_tokens", [], "added_tokens"),
        ("truncation", {"direction": "Left"}, "truncation.direction"),
        ("truncation", {"stride": 8}, "truncation.stride"),
        ("padding", {"direction": "Left"}, "padding.direction"),
        ("padding", {"pad_token": "[UNK]"}, "padding.pad_token"),
        ("padding", {"pad_token": "[PAD]", "pad_id": 1}, "padding.pad_id"),
        ("extra", 1, "tokenizer.json.extra"),
    ],
)
def test_what_no_board_would_do_is_refused_by_its_name(place, value, word):
    with pytest.raises(ToolchainError) as caught:
        read(write_tokenizer_json(**{place: value}))
    assert caught.value.code == ExitCode.USAGE
    assert word in caught.value.where


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"version": 1, "version": 2}', b"[" * 100_000])
def test_what_is_no_tokenizer_is_refused(data):
    with pytest.raises(ToolchainError) as caught:
        read(data)
    assert caught.value.code == ExitCode.USAGE


def test_the_file_that_is_written_here_is_json():
    assert list(json.loads(write_tokenizer_json())["model"]["vocab"]) == list(TOKENS)

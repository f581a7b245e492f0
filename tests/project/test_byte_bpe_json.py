import json
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings

from tests.texts import BPE_SPECIAL, PAIRS, TEXTS, list_merges, write_byte_bpe_json
from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.bundle.hard_texts import list_hard_texts
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.byte_bpe_json import read_byte_bpe_json

_PATH = Path("tokenizer.json")
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ],
    "pair": [],
    "special_tokens": {
        name: {"id": name, "ids": [number], "tokens": [name]} for name, number in (("<s>", 0), ("</s>", 2))
    },
}
SPACE_FIRST = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
GPT2 = {"post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}}


def read(data, padding=None):
    return json.loads(read_byte_bpe_json(data, _PATH, padding=padding))


def test_a_tokenizer_of_roberta_is_read_with_its_ends_and_special_tokens():
    found = read(write_byte_bpe_json())
    names = found["tokens"]
    assert [names[number] for number in (*found["begin"], *found["end"], found["padding"])] == ["<s>", "</s>", "<pad>"]
    assert [names[number] for number in found["special"]] == list(BPE_SPECIAL)
    assert [names[number] for number in found["takes_space"]] == ["<mask>"]
    assert [(names[left], names[right]) for left, right in found["merges"]] == list_merges()
    assert found["space_first"] is False


def test_merges_as_older_versions_write_them_are_the_same():
    merges = [f"{left} {right}" for left, right in list_merges()]
    assert read(write_byte_bpe_json(model__merges=merges)) == read(write_byte_bpe_json())


def test_what_fills_up_is_what_the_file_or_else_the_recipe_says():
    own = {"direction": "Right", "pad_id": 2, "pad_type_id": 0, "pad_token": "</s>", "strategy": "BatchLongest"}
    assert read(write_byte_bpe_json(padding=own))["padding"] == 2
    assert read(write_byte_bpe_json(padding=own), "</s>")["padding"] == 2
    assert read(write_byte_bpe_json(), "<unk>")["padding"] == 3
    with pytest.raises(ToolchainError, match="as padding of the recipe says"):
        read(write_byte_bpe_json(padding=own), "<pad>")
    with pytest.raises(ToolchainError, match="no token <pad>"):
        read(write_byte_bpe_json().replace(b"<pad>", b"<fill>"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        GPT2,
        {"pre_tokenizer": SPACE_FIRST},
        {"post_processor": TEMPLATE},
        {"post_processor": None, "added_tokens": []},
        {"added_tokens__2__special": False, "model__unk_token": "<unk>"},
    ],
    ids=["roberta", "gpt-2", "a space first", "a template", "no special tokens", "one that is not special"],
)
def test_what_the_other_implementation_makes_of_the_same_file_is_what_we_make(changes):
    data = write_byte_bpe_json(**changes)
    theirs = tokenizers.Tokenizer.from_str(data.decode())
    theirs.enable_truncation(PAIRS.length)
    file = read_byte_bpe_json(data, _PATH, padding=None)
    ours = Tokenizer(PAIRS, file, where="tokenizer.json", code=ExitCode.USAGE)

    @settings(max_examples=100)
    @given(TEXTS)
    def check(text):
        assert ours.number(text) == theirs.encode(text).ids

    check()
    for text in list_hard_texts(PAIRS.length):
        assert ours.number(text) == theirs.encode(text).ids


def test_a_vocabulary_that_was_learnt_has_the_tokens_that_it_was_learnt_for():
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<pad>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [*list_hard_texts(8), *Path(__file__).read_text().split("\n")]
    theirs.train_from_iterator(texts, trainer)
    ours = Tokenizer(
        replace(PAIRS, length=4096),
        read_byte_bpe_json(theirs.to_str().encode(), _PATH, padding=None),
        where="tokenizer.json",
        code=ExitCode.USAGE,
    )
    assert ours.size == 700
    for text in texts:
        assert ours.number(text) == theirs.encode(text).ids

    @settings(max_examples=100)
    @given(TEXTS)
    def check(text):
        assert ours.number(text) == theirs.encode(text).ids

    check()


@pytest.mark.parametrize(
    ("place", "value", "word"),
    [
        ("model__type", "Unigram", "model.type"),
        ("model__type", "WordPiece", "model.type"),
        ("model__dropout", 0.1, "model.dropout"),
        ("model__byte_fallback", True, "model.byte_fallback"),
        ("model__ignore_merges", True, "model.ignore_merges"),
        ("model__continuing_subword_prefix", "##", "model.continuing_subword_prefix"),
        ("model__end_of_word_suffix", "</w>", "model.end_of_word_suffix"),
        ("model__cache", 1, "model.cache"),
        ("model__vocab", {"a": 0, "b": 2}, "model.vocab"),
        ("model__vocab", {"a": 0}, "model.vocab"),
        ("model__vocab", {"\ud800": 0}, "model.vocab"),
        ("model__merges__0", ["a", "no such token"], "model.merges[0]"),
        ("model__merges__0", ["a", "<s>"], "model.merges[0]"),
        ("model__merges__0", "a a a", "model.merges[0]"),
        ("model__merges__1", ["a", "a"], "model.merges[1]"),
        ("normalizer", {"type": "NFC"}, "normalizer"),
        ("pre_tokenizer", None, "pre_tokenizer"),
        ("pre_tokenizer__type", "Metaspace", "pre_tokenizer.type"),
        ("pre_tokenizer__use_regex", False, "pre_tokenizer.use_regex"),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": []}, "pre_tokenizer.pretokenizers"),
        ("post_processor__type", "BertProcessing", "post_processor.type"),
        ("post_processor__type", "Sequence", "post_processor.type"),
        ("post_processor__cls", ["<s>", 1], "post_processor.cls"),
        ("post_processor__sep", ["</q>", 2], "post_processor.sep"),
        ("post_processor", {**TEMPLATE, "single": []}, "post_processor.single"),
        ("post_processor", {**TEMPLATE, "special_tokens": {}}, "post_processor.special_tokens.<s>"),
        ("added_tokens__0__rstrip", True, "added_tokens[0].rstrip"),
        ("added_tokens__0__single_word", True, "added_tokens[0].single_word"),
        ("added_tokens__0__id", 5, "added_tokens[0].id"),
        ("added_tokens__4__id", 9999, "added_tokens[4].id"),
        ("added_tokens__0__content", "a b", "added_tokens[0].content"),
        ("added_tokens__0__content", "", "added_tokens[0].content"),
        ("added_tokens__4__content", "x<s", "normalized"),
        ("truncation", {"direction": "Left"}, "truncation.direction"),
        ("padding", {"direction": "Left"}, "padding.direction"),
        ("padding", {"pad_token": "<pad>", "pad_id": 0}, "padding.pad_id"),
        ("padding", {"pad_token": "<q>", "pad_id": 0}, "padding.pad_token"),
        ("extra", 1, "tokenizer.json.extra"),
    ],
)  # fmt: skip
def test_what_no_board_would_do_is_refused_by_its_name(place, value, word):
    with pytest.raises(ToolchainError) as caught:
        read(write_byte_bpe_json(**{place: value}))
    assert caught.value.code == ExitCode.USAGE
    assert word in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"version": 1, "version": 2}', b"[" * 100_000])
def test_what_is_no_tokenizer_is_refused(data):
    with pytest.raises(ToolchainError) as caught:
        read(data)
    assert caught.value.code == ExitCode.USAGE

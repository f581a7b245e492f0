import pytest

from tests.project.test_input_section import PLAIN
from tests.texts import (
    PAIRS,
    TOKENS,
    WORDS,
    write_byte_bpe,
    write_byte_bpe_json,
    write_tokenizer_json,
    write_vocabulary,
)
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import read_recipe
from toolchain.project.text_section import TextSection, read_text_section

WORD = 'tokenizer = "wordpiece", file = "vocab.txt", length = 16'


def read(tmp_path, text):
    (tmp_path / "recipe.toml").write_text(PLAIN + text)
    return read_recipe(tmp_path / "recipe.toml").input.text


def open_section(tmp_path, section, name="vocab.txt", data=None):
    (tmp_path / name).write_bytes(write_vocabulary() if data is None else data)
    return read_text_section(section, tmp_path / name, where="input.text")


def make_section(**changes):
    usual = {"tokenizer": "wordpiece", "file": "vocab.txt", "length": 16, "lowercase": True}
    return TextSection(**{**usual, **changes})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"text = {{ {WORD} }}", "input.text.lowercase"),
        ('text = { tokenizer = "wordpiece", length = 16, lowercase = true }', "input.text.file"),
        ('text = { tokenizer = "characters", length = 16 }', "input.text.file"),
        ('text = { tokenizer = "bytes", length = 16, file = "vocab.txt" }', "input.text.file"),
        ('text = { tokenizer = "bytes", length = 16, lowercase = true }', "input.text.lowercase"),
        ('text = { tokenizer = "characters", file = "a.txt", length = 16, split_cjk = false }', "input.text.split_cjk"),
        ('text = { tokenizer = "characters", file = "a.txt", length = 16, types = "t" }', "input.text.types"),
        ('text = { tokenizer = "wordpiece", file = "tokenizer.json", length = 16, lowercase = true }', "lowercase"),
        ('text = { tokenizer = "wordpiece", file = "v.txt", length = 2, lowercase = true }', "input.text.length"),
        ('text = { tokenizer = "sentencepiece", file = "v.model", length = 16 }', "input.text.tokenizer"),
        ('text = { tokenizer = "byte_bpe", file = "vocab.txt", length = 16 }', "input.text.file"),
        ('text = { tokenizer = "byte_bpe", file = "a.json", length = 16, lowercase = true }', "input.text.lowercase"),
        ('text = { tokenizer = "byte_bpe", file = "a.json", length = 16, special_in_text = false }', "special_in_text"),
        ('text = { tokenizer = "bytes", length = 16, padding = "a" }', "input.text.padding"),
        (f'text = {{ {WORD}, lowercase = true, padding = "[PAD]" }}', "input.text.padding"),
        ('text = { tokenizer = "characters", file = "tokenizer.json", length = 16 }', "input.text.tokenizer"),
        ('text = { tokenizer = "bytes", length = 0 }', "input.text.length"),
        ('text = { tokenizer = "bytes", length = 16, mask = "input_ids" }', "input.text.ids"),
        ('text = { tokenizer = "bytes", length = 16, pad = 1 }', "input.text"),
        ('size = [4, 6]\ntext = { tokenizer = "bytes", length = 16 }', "input.size"),
        ('kind = "sound"\ntext = { tokenizer = "bytes", length = 16 }', "input.kind"),
    ],
)
def test_keys_that_cannot_be_true_are_refused_by_their_place(text, place, tmp_path):
    with pytest.raises(ToolchainError) as caught:
        read(tmp_path, text)
    assert caught.value.code == ExitCode.USAGE
    assert place in str(caught.value)


def test_a_vocabulary_is_read_with_what_the_recipe_says(tmp_path):
    section = make_section(mask="attention_mask", types="token_type_ids")
    found = open_section(tmp_path, section)
    assert found.spec == WORDS
    assert found.vocabulary == write_vocabulary()
    assert found.inputs == ("input_ids", "attention_mask", "token_type_ids")


def test_a_tokenizer_json_says_its_settings_itself(tmp_path):
    section = make_section(file="tokenizer.json", lowercase=None)
    data = write_tokenizer_json(normalizer__lowercase=False)
    found = open_section(tmp_path, section, "tokenizer.json", data)
    assert (found.spec.lowercase, found.spec.strip_accents, found.vocabulary) == (False, False, write_vocabulary())


def test_a_byte_level_bpe_is_read_with_its_settings(tmp_path):
    section = make_section(
        tokenizer="byte_bpe", file="tokenizer.json", lowercase=None, mask="attention_mask", types="token_type_ids"
    )
    found = open_section(tmp_path, section, "tokenizer.json", write_byte_bpe_json())
    assert (found.spec, found.vocabulary) == (PAIRS, write_byte_bpe())
    other = open_section(tmp_path, section, "tokenizer.json", write_byte_bpe_json(pre_tokenizer__add_prefix_space=True))
    filled = section.model_copy(update={"padding": "</s>"})
    filled = open_section(tmp_path, filled, "tokenizer.json", write_byte_bpe_json())
    assert len({found.sha256, other.sha256, filled.sha256}) == 3


def test_accents_go_with_lower_case_where_nothing_else_is_said(tmp_path):
    assert not open_section(tmp_path, make_section(lowercase=False)).spec.strip_accents
    assert not open_section(tmp_path, make_section(strip_accents=False)).spec.strip_accents


def test_the_hash_says_the_file_and_the_settings_and_not_the_names_of_the_inputs(tmp_path):
    own = open_section(tmp_path, make_section()).sha256
    assert open_section(tmp_path, make_section(ids="tokens", mask="mask")).sha256 == own
    others = [
        open_section(tmp_path, make_section(lowercase=False)),
        open_section(tmp_path, make_section(length=17)),
        open_section(tmp_path, make_section(), data=write_vocabulary((*TOKENS, "more"))),
    ]
    assert own not in {each.sha256 for each in others}


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff")])
def test_a_file_that_cannot_be_read_is_refused_by_its_path(make, tmp_path):
    path = tmp_path / "none.txt"
    make(path)
    with pytest.raises(ToolchainError) as caught:
        read_text_section(make_section(), path, where="input.text")
    assert caught.value.code == ExitCode.USAGE
    assert "none.txt" in str(caught.value)

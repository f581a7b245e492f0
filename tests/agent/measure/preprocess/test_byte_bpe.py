"""Byte-level BPE; held against HuggingFace's own of any text in tests/project/test_byte_bpe_json.py."""

import json

import pytest
import tokenizers

from tests.texts import write_byte_bpe
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.byte_bpe import ByteBpe, list_byte_letters, read_byte_bpe
from toolchain.agent.measure.preprocess.characters import compile_gpt2


def open_bpe(data=None):
    return ByteBpe(read_byte_bpe(write_byte_bpe() if data is None else data, where="bpe", code=ExitCode.MALFORMED))


def read(text, *, reads_special=True, data=None):
    """Return the tokens of a text."""
    names = json.loads(write_byte_bpe() if data is None else data)["tokens"]
    return [names[number] for number in open_bpe(data).cut(text, reads_special=reads_special)]


def test_each_byte_has_the_letter_that_the_other_implementation_gives_it():
    assert sorted(list_byte_letters()) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    splitter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, [*range(0x80), *range(0x100, 0x800), 0x20AC, 0x1F600]))
    ((found, _),) = splitter.pre_tokenize_str(text)
    letters = list_byte_letters()
    assert "".join(letters[byte] for byte in text.encode()) == found


def test_characters_are_letters_numbers_or_signs_as_to_the_other_implementation():
    # All of the first planes' scripts, and each 61st of the rest: all of them are asked where the tables are written.
    codes = [*range(0x3400), *range(0x3400, 0xD800, 61), *range(0xE000, 0x20000, 7), *range(0x20000, 0x110000, 61)]
    text = "".join(f"{lead}{chr(code)}" for code in codes for lead in "a1! ")
    splitter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    ends = [end for _, (_, end) in splitter.pre_tokenize_str(text)]
    assert [match.end() for match in compile_gpt2().finditer(text)] == ends


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("hello", ["hello"]),
        (" hello", ["Ġhello"]),
        ("the the", ["the", "Ġ", "the"]),  # th was learnt before Ġt
        ("hello hello", ["hello", "Ġhello"]),
        ("aaaaa", ["aaaa", "a"]),
        ("it's", ["i", "t", "'s"]),
        ("it'S", ["i", "t", "'", "S"]),
        ("a   a", ["a", "ĠĠ", "Ġ", "a"]),
        ("a  ", ["a", "ĠĠ"]),
        ("12a", ["12", "a"]),
        ("a <mask>a", ["a", "<mask>", "a"]),
        ("a <pad>a", ["a", "Ġ", "<pad>", "a"]),
        ("<s><s", ["<s>", "<", "s"]),
        ("é", ["Ã©"]),
    ],
)
def test_a_text_becomes_these_tokens(text, tokens):
    assert read(text) == tokens


def test_a_text_that_may_not_say_special_tokens_says_signs():
    assert read("<s>", reads_special=False) == ["<", "s", ">"]


def test_a_space_stands_in_front_where_the_training_had_one():
    data = write_byte_bpe(pre_tokenizer__add_prefix_space=True)
    assert read("hello", data=data) == read(" hello", data=data) == ["Ġhello"]
    assert read("<s>hello", data=data) == ["<s>", "Ġhello"]
    assert read("", data=data) == []


def test_a_long_word_ends():
    # In n² steps it would take hours.
    assert len(list(open_bpe().cut("a" * (1 << 17), reads_special=True))) == 1 << 15


def change(**changes):
    return json.dumps({**json.loads(write_byte_bpe()), **changes}).encode()


TOKENS = json.loads(write_byte_bpe())["tokens"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "bpe"),
        (b"[]", "keys"),
        (b"[" * 100_000, "bpe"),
        (b"\xff", "bpe"),
        (b'{"tokens": [], "tokens": []}', "bpe"),
        (change(more=1), "keys"),
        (change(tokens={}), "tokens"),
        (change(tokens=[*TOKENS, "<s>"]), "tokens"),
        (change(tokens=[*TOKENS, ""]), "tokens"),
        (change(tokens=[*TOKENS, 1]), "tokens"),
        (change(tokens=[token for token in TOKENS if token != "Ġ"]), "tokens"),
        (change(merges=None), "merges"),
        (change(merges=[[5]]), "merges[0]"),
        (change(merges=[[5, len(TOKENS)]]), "merges[0]"),
        (change(merges=[[5, True]]), "merges[0]"),
        (change(merges=[[0, 1]]), "merges[0]"),
        (change(merges=[*json.loads(write_byte_bpe())["merges"], json.loads(write_byte_bpe())["merges"][0]]), "merges"),
        (change(begin=[-1]), "begin"),
        (change(end=2), "end"),
        (change(padding=len(TOKENS)), "padding"),
        (change(padding=None), "padding"),
        (change(special=["<s>"]), "special"),
        (change(takes_space=[9]), "takes_space"),
        (change(space_first=1), "space_first"),
    ],
    ids=range(24),
)
def test_what_is_no_file_of_pairs_is_refused_by_its_place(data, place):
    with pytest.raises(ToolchainError) as caught:
        read_byte_bpe(data, where="bpe", code=ExitCode.MALFORMED)
    assert caught.value.code == ExitCode.MALFORMED
    assert caught.value.where.endswith(place)
    assert caught.value.fix

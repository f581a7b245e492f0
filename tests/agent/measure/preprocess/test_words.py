"""WordPiece, held against HuggingFace's own tokenizers: another implementation, in another language."""

from dataclasses import replace

import pytest
import tokenizers
from hypothesis import given, settings

from tests.texts import TEXTS, TOKENS, WORDS, make_tokenizer
from toolchain.agent.measure.preprocess import character_tables
from toolchain.agent.measure.preprocess.words import normalize, split_word, split_words
from toolchain.agent.text import TABLES

SETTINGS = [
    {},
    {"lowercase": False, "strip_accents": False},
    {"lowercase": True, "strip_accents": False},
    {"lowercase": False, "strip_accents": True},
    {"split_cjk": False},
    {"special_in_text": False},
]


def make_reference(spec):
    """Return a function from a text to the ids that the tokenizers package gives it."""
    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    made.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=spec.split_cjk,
        strip_accents=spec.strip_accents,
        lowercase=spec.lowercase,
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [(name, TOKENS.index(name)) for name in ("[SEP]", "[CLS]")]
    made.post_processor = tokenizers.processors.BertProcessing(*ends)
    if spec.special_in_text:
        made.add_special_tokens([name for name in TOKENS if name.startswith("[") and len(name) > 2])
    made.enable_truncation(spec.length)
    return lambda text: made.encode(text).ids


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_any_text_has_the_tokens_that_the_other_implementation_gives_it(changes):
    spec = replace(WORDS, **changes)
    ours, theirs = make_tokenizer(spec), make_reference(spec)

    @settings(max_examples=300)
    @given(TEXTS)
    def check(text):
        assert ours.number(text) == theirs(text)

    check()


def test_the_tables_are_those_of_the_version_that_is_installed():
    assert f"tokenizers {'.'.join(tokenizers.__version__.split('.')[:2])}" == TABLES == character_tables.TABLES


def test_characters_are_normalized_as_the_other_implementation_does():
    # All of the first planes' scripts, and each 61st of the rest: all of them are asked where the tables are written.
    codes = [*range(0x3400), *range(0x3400, 0xD800, 61), *range(0xE000, 0x110000, 61), *range(0xF900, 0x10000)]
    spec = replace(WORDS, split_cjk=True)
    theirs = tokenizers.normalizers.BertNormalizer()
    text = "".join(f"x{chr(code)}y\u0301" for code in codes)
    assert normalize(text, spec) == theirs.normalize_str(text)
    split = [word for word, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
    assert list(split_words(text)) == split


def test_a_word_is_cut_into_the_longest_pieces_that_there_are():
    vocabulary = {token: number for number, token in enumerate(["a", "ab", "##c", "##cd", "##d", "[UNK]"])}
    assert split_word("abcd", vocabulary, unknown=5, longest=5) == [1, 3]
    assert split_word("abcx", vocabulary, unknown=5, longest=5) == [5]
    assert split_word("a" * 101, vocabulary, unknown=5, longest=5) == [5]

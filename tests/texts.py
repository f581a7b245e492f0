"""Tokenizers for tests, and texts on which implementations differ."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from hypothesis import strategies as st

from toolchain.agent.errors import ExitCode
from toolchain.agent.measure.preprocess.byte_bpe import list_byte_letters
from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.agent.text import BYTE_BPE, BYTES, CHARACTERS, TABLES, WORDPIECE, TextSpec
from toolchain.project.byte_bpe_json import read_byte_bpe_json

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TOKENS = (
    *SPECIAL,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *(
        "un",
        "##aff",
        "##able",
        "the",
        "hello",
        "world",
        "HELLO",
        "Hello",
        "ecole",
        "école",
        "istanbul",
        "σ",
        "##σ",
        "ς",
        "ß",
    ),
    *".,!?[]'#$-",
    *"你好한ᄒ가",
    *("##ᅡ", "##ᆫ", "ı", "i̇", "##̇", "##́", "é", "e\u0301", "😀", "ﬁ", "–", "ー"),
)

WORDS = TextSpec(
    tokenizer=WORDPIECE,
    file="tokenizer/vocabulary.txt",
    length=16,
    lowercase=True,
    strip_accents=True,
    split_cjk=True,
    special_in_text=True,
    tables=TABLES,
    mask="attention_mask",
    types="token_type_ids",
)
PLAIN = replace(
    WORDS,
    file=None,
    lowercase=False,
    strip_accents=False,
    split_cjk=False,
    special_in_text=False,
    tables=None,
    types=None,
)
PAIRS = replace(
    WORDS,
    tokenizer=BYTE_BPE,
    file="tokenizer/byte_bpe.json",
    lowercase=False,
    strip_accents=False,
    split_cjk=False,
)
LETTER = replace(PLAIN, tokenizer=CHARACTERS, file="tokenizer/vocabulary.txt")
BYTE = replace(PLAIN, tokenizer=BYTES)
ALPHABET = ("[PAD]", "[UNK]", *" abcdefghijklmnopqrstuvwxyzéß😀")


def write_vocabulary(tokens=TOKENS):
    return "".join(f"{token}\n" for token in tokens).encode()


def make_tokenizer(spec=WORDS, tokens=None):
    """Return a tokenizer with the vocabulary of its kind."""
    if spec.tokenizer == BYTE_BPE:
        return Tokenizer(spec, write_byte_bpe(), where="byte_bpe.json", code=ExitCode.USAGE)
    tokens = {WORDPIECE: TOKENS, CHARACTERS: ALPHABET, BYTES: None}[spec.tokenizer] if tokens is None else tokens
    vocabulary = None if tokens is None else write_vocabulary(tokens)
    return Tokenizer(spec, vocabulary, where="vocab.txt", code=ExitCode.USAGE)


def write_tokenizer_json(**changes):
    """Return a tokenizer.json as HuggingFace writes that of a BERT, with other values by their places (a.b.c = value)."""
    numbers = {token: number for number, token in enumerate(TOKENS)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **flags} for number, token in enumerate(SPECIAL)],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {
                name: {"id": name, "ids": [numbers[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": numbers,
        },
    }  # fmt: skip
    return _write_changed(document, changes)


def _write_changed(document, changes):
    for place, value in changes.items():
        table = document
        *parents, last = place.split("__")
        for parent in parents:
            table = table[int(parent) if isinstance(table, list) else parent]
        if value is ...:
            del table[last]
        else:
            table[int(last) if isinstance(table, list) else last] = value
    return json.dumps(document).encode()


BPE_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def list_merges():
    """Return pairs of byte-level BPE, of which some stand in each other's way: what was learnt first wins."""
    words = (
        "the",
        "hello",
        "Ġworld",
        "Ġthe",
        "ello",
        "ll",
        "aa",
        "aaaa",
        "ĠĠ",
        "ĠĠĠ",
        "12",
        "'s",
        "Ã©",
        "ĠÂ",
        "ä½łå¥½",
        "ðŁĺ",
        "ĊĊ",
        "un",
        "able",
    )
    pairs = [
        ("a", "a"),
        ("aa", "aa"),
        ("t", "h"),
        ("Ġ", "t"),
        ("l", "o"),
        ("h", "el"),
        ("e", "l"),
        ("hel", "lo"),
        ("Ġ", "hello"),
    ]
    pairs += [(word[:at], word[at]) for word in words for at in range(1, len(word))]
    return list(dict.fromkeys(pairs))


def write_byte_bpe_json(**changes):
    """Return a tokenizer.json as HuggingFace writes that of a RoBERTa, with other values by their places (a.b.c = value)."""
    tokens = [*BPE_SPECIAL[:-1], *list_byte_letters(), *map("".join, list_merges())]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": True}
    added = [{"id": numbers.get(name, len(numbers)), "content": name, **flags} for name in BPE_SPECIAL]
    added[-1] = {**added[-1], "lstrip": True, "normalized": False}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": numbers,
            "merges": [list(pair) for pair in list_merges()],
        },
    }  # fmt: skip
    return _write_changed(document, changes)


def write_byte_bpe(**changes):
    """Return the file of a bundle."""
    return read_byte_bpe_json(write_byte_bpe_json(**changes), Path("tokenizer.json"), padding=None)


def describe(spec):
    """Return a spec as a manifest has it."""
    return asdict(spec)


_SOME = st.sampled_from(
    [
        *"aAzZ09 .,!'[]#-\t\n\r\x00\x07\x7f\x85\xa0\xadéÉßſİıΣςσﬁΩÅ你好ーガが한국\u0301\u0307\u0323\u0334\u0345\u302e\u200b\u200d\u2028\ufeff\ufffd\ue000",
        "😀",
        "👍🏽",
        "\U0001d15e",
        "\U00020000",
        "[SEP]",
        "[CLS]",
        "[MASK",
        *("<s>", "<mask>", "</s>", "<pad", "'ll", "'s", "'Re", "   ", "\n\n", "aaaaa", " hello", "½", "٣", "Ⅷ", "１"),
        "unaffable",
        "hello",
        "\U000e0041",
        "\U0010ffff",
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(_SOME, max_size=40).map("".join),
)
"""Texts of any characters, and of those that implementations treat differently."""

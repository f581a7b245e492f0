"""Texts made tokens in C++: the same numbers as Python's, of any text and with every setting; and through a board."""

import os
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.application.text_boards import make_text_board
from tests.agent.measure.text_bundle import TEXTS as TOLD
from tests.app.headers import needs_headers
from tests.texts import (
    ALPHABET,
    BYTE,
    LETTER,
    PAIRS,
    TEXTS,
    TOKENS,
    WORDS,
    make_tokenizer,
    write_byte_bpe,
    write_vocabulary,
)
from toolchain.agent.application.model import open_current
from toolchain.agent.text import TABLES
from toolchain.bundle.hard_texts import list_hard_texts

_REPOSITORY = Path(__file__).parents[2]
_SETTINGS = ("lowercase", "strip_accents", "split_cjk", "special_in_text")
SPECS = {
    "uncased": WORDS,
    "cased": replace(WORDS, lowercase=False, strip_accents=False),
    "with accents": replace(WORDS, strip_accents=False),
    "plain": replace(WORDS, split_cjk=False, special_in_text=False, length=64),
    "letters": LETTER,
    "bytes": BYTE,
    "pairs": replace(PAIRS, length=64),
    "pairs without special tokens": replace(PAIRS, special_in_text=False),
}
VOCABULARIES = {"wordpiece": TOKENS, "characters": ALPHABET}


def test_its_tables_are_those_of_the_agent():
    assert f'kTables = "{TABLES}"' in (_REPOSITORY / "app/cpp/text/character_tables.inc").read_text()


@pytest.fixture
def number(sanitized, tmp_path):
    """Return a function from bytes of texts to the lines that edge_app_tokenize prints of them."""

    def run(spec, texts, vocabulary=None):
        (tmp_path / "texts").write_bytes(b"".join(struct.pack("<I", len(text)) + text for text in texts))
        if vocabulary is None:
            is_bpe = spec.tokenizer == "byte_bpe"
            vocabulary = write_byte_bpe() if is_bpe else write_vocabulary(VOCABULARIES.get(spec.tokenizer, ()))
        (tmp_path / "vocab.txt").write_bytes(vocabulary)
        words = [
            sanitized / "edge_app_tokenize",
            spec.tokenizer,
            spec.length,
            tmp_path / "vocab.txt",
            tmp_path / "texts",
        ]
        words += [name for name in _SETTINGS if getattr(spec, name)]
        done = subprocess.run(list(map(str, words)), capture_output=True, check=False)
        assert b"Sanitizer" not in done.stderr, done.stderr
        return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()

    return run


@needs_headers
@pytest.mark.parametrize("name", SPECS)
def test_any_text_has_the_numbers_that_python_gives_it(number, name):
    spec, tokenizer = SPECS[name], make_tokenizer(SPECS[name])
    # All of the first scripts, and some of every plane: once with all that is done to characters, once without most of it.
    codes = (
        [*range(0x3400), *range(0x3400, 0xD800, 97), *range(0xE000, 0x110000, 97)]
        if name in ("uncased", "plain", "pairs")
        else []
    )[:: 7 if name == "pairs" else 1]  # its cuts ask for three kinds alone
    marked = [f"x{chr(code)}y\u0301\u0323 {chr(code).upper()}" for code in codes]
    joined = ["".join(marked[start : start + 3]) for start in range(0, len(marked), 3)]

    @settings(max_examples=2)
    @given(st.lists(TEXTS, min_size=200, max_size=200))
    def check(texts):
        texts = [*texts, *list_hard_texts(spec.length), *joined]
        joined.clear()
        code, lines, _ = number(spec, [text.encode() for text in texts])
        assert code == 0
        assert [[int(word) for word in line.split()] for line in lines] == [tokenizer.number(text) for text in texts]

    check()


@needs_headers
def test_bytes_that_are_no_utf_8_are_refused_and_the_next_text_is_read(number):
    broken = [
        b"\xff", b"a\x80", b"\xc0\x80", b"\xc3", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf8",
        b"a" * ((1 << 20) + 1),
    ]  # fmt: skip
    code, lines, _ = number(WORDS, [*broken, b"hello"])
    assert code == 0
    assert all(line.startswith("refused: ") for line in lines[:-1])
    assert lines[-1].split() == [str(number) for number in make_tokenizer().number("hello")]


@needs_headers
@pytest.mark.parametrize(
    ("spec", "vocabulary", "word"),
    [
        (WORDS, write_vocabulary(TOKENS[:1] + TOKENS[2:]), "[UNK]"),
        (WORDS, write_vocabulary((*TOKENS, "hello")), f"line {len(TOKENS) + 1}"),
        (WORDS, write_vocabulary((*TOKENS, "", "more")), f"line {len(TOKENS) + 1}"),
        (WORDS, write_vocabulary() + b"\xff\n", "UTF-8"),
        (WORDS, b"", "[PAD]"),
        (LETTER, b"a\n", "[PAD]"),
        (replace(WORDS, tokenizer="bpe"), write_vocabulary(), "bpe"),
        (replace(WORDS, length=2), write_vocabulary(), "3 to 65536"),
        (replace(PAIRS, length=2), None, "3 or more"),
        (PAIRS, write_vocabulary(), "JSON"),
        (PAIRS, b"{}", "tokens"),
        (PAIRS, write_byte_bpe().replace(b'"!"', b'"!!"'), "none for 33"),
        (PAIRS, write_byte_bpe().replace(b'"merges":[[', b'"merges":[[999,1],['), "merges"),
        (PAIRS, write_byte_bpe().replace(b'"padding":1', b'"padding":-1'), "padding"),
    ],
)
def test_what_is_no_vocabulary_is_refused_with_the_code_of_the_contract(number, spec, vocabulary, word):
    code, _, said = number(spec, [], vocabulary)
    assert (code, word in said) == (23, True), said


@pytest.fixture
def tell(sanitized, tmp_path, keys, bytecode):
    """Return a function that makes a board, lets edge_app_run answer a text there, and returns how that ended."""

    def run(board, text):
        (tmp_path / "text.txt").write_bytes(text)
        words = [sanitized / "edge_app_run", board.root, tmp_path / "answers", "--text", tmp_path / "text.txt"]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=dict(os.environ), check=False)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done

    def make(**changes):
        board = make_text_board(tmp_path / "root", keys, bytecode, **changes)
        (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
        return board

    run.make = make
    return run


@needs_headers
def test_a_text_is_answered_bit_for_bit_as_python_does_and_what_is_none_is_refused(tell, tmp_path):
    board = tell.make()
    with open_current(board.root, check_interval_s=None) as model:
        for text in (TOLD[1], TOLD[5], TOLD[2]):
            done = tell(board, text.encode())
            assert done.returncode == 0, done.stderr
            assert np.array_equal(np.fromfile(tmp_path / "answers.logits", np.float32), model(text)["logits"])
    done = tell(board, b"\xff")
    assert (done.returncode, "UTF-8" in done.stderr) == (2, True), done.stderr


def exchange(array):
    array = array.copy()
    array[1, [1, 2]] = array[1, [2, 1]]
    return array


@needs_headers
def test_a_golden_text_with_other_tokens_is_refused_when_it_opens(tell):
    done = tell(tell.make(pair=exchange), b"hello")
    assert (done.returncode, "pair-input_ids.npy" in done.stderr) == (18, True), done.stderr


@needs_headers
def test_a_vocabulary_that_changed_on_the_board_is_refused(tell):
    board = tell.make()
    path = board.release / "tokenizer/vocabulary.txt"
    path.write_bytes(path.read_bytes().replace(b"hello", b"hullo"))
    done = tell(board, b"hello")
    assert (done.returncode, "vocabulary.txt" in done.stderr) == (11, True), done.stderr

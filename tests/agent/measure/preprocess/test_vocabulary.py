import pytest

from tests.texts import ALPHABET, TOKENS, write_vocabulary
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.vocabulary import SIZE_BYTES_MAX, read_vocabulary
from toolchain.agent.text import CHARACTERS, WORDPIECE


def read(data, tokenizer=WORDPIECE):
    return read_vocabulary(data, tokenizer, where="vocab.txt", code=ExitCode.USAGE)


def test_each_line_is_a_token_and_its_number():
    found = read(write_vocabulary())
    assert list(found) == list(TOKENS)
    assert list(found.values()) == list(range(len(TOKENS)))


def test_the_last_line_may_have_no_end():
    assert read(write_vocabulary()[:-1]) == read(write_vocabulary())


def test_lines_end_at_line_ends_alone():
    letters = ("[PAD]", "[UNK]", "\u2028", "\x0b", "\x85", "\xa0", " ")
    assert list(read(write_vocabulary(letters), CHARACTERS)) == list(letters)


@pytest.mark.parametrize(
    ("data", "tokenizer", "place", "found"),
    [
        (write_vocabulary(TOKENS[:1] + TOKENS[2:]), WORDPIECE, "vocab.txt", "none"),
        (write_vocabulary(("[PAD]", "a")), CHARACTERS, "vocab.txt", "none"),
        (write_vocabulary((*TOKENS, "hello")), WORDPIECE, f"line {len(TOKENS) + 1}", "a second time"),
        (write_vocabulary((*TOKENS, "", "x1")), WORDPIECE, f"line {len(TOKENS) + 1}", "an empty line"),
        (write_vocabulary(TOKENS) + b"\xff\n", WORDPIECE, f"line {len(TOKENS) + 1}", "invalid start byte"),
        (write_vocabulary().decode().encode("utf-16"), WORDPIECE, "line 1", "invalid"),
        (write_vocabulary().replace(b"\n", b"\r\n"), WORDPIECE, "line 1", "carriage return"),
        (b"\xef\xbb\xbf" + write_vocabulary(), WORDPIECE, "line 1", "byte order mark"),
        (write_vocabulary((*TOKENS, "x ")), WORDPIECE, f"line {len(TOKENS) + 1}", "white space"),
        (write_vocabulary((*ALPHABET, "ab")), CHARACTERS, f"line {len(ALPHABET) + 1}", "no single character"),
        (write_vocabulary((*ALPHABET, "e\u0301")), CHARACTERS, f"line {len(ALPHABET) + 1}", "no single character"),
        (b"", WORDPIECE, "vocab.txt", "none in 0 lines"),
        (bytes(SIZE_BYTES_MAX + 1), WORDPIECE, "vocab.txt", str(SIZE_BYTES_MAX + 1)),
    ],
    ids=range(13),
)
def test_what_is_no_vocabulary_is_refused_by_its_line(data, tokenizer, place, found):
    with pytest.raises(ToolchainError) as caught:
        read(data, tokenizer)
    assert (caught.value.code, place in caught.value.where) == (ExitCode.USAGE, True)
    assert found in caught.value.found
    assert caught.value.fix

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.printable import LINE_LENGTH_MAX, encode_json, escape_line, escape_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),  # OSC: sets the title of the window
        ("a\x9b31mb", r"a\x9b31mb"),  # CSI in one character of C1
        ("del\x7f", r"del\x7f"),
        ("PASS\rFAIL", r"PASS\rFAIL"),
        ("one\ntwo\tthree\x0bfour", r"one\ntwo\tthree\x0bfour"),
        ("one\u2028two\u2029three\x85four", r"one\u2028two\u2029three\x85four"),
        ("safe\u202etxt.exe", r"safe\u202etxt.exe"),
        ("\u2066\u2069\u200e\u200f\u061c", r"\u2066\u2069\u200e\u200f\u061c"),
        ("re\u200bsnet8\ufeff", r"re\u200bsnet8\ufeff"),
        ("soft\xadhyphen no\xa0break", r"soft\xadhyphen no\xa0break"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("no utf-8 \udcff", r"no utf-8 \udcff"),
        ("private \ue000", r"private \ue000"),
        ("not a character \uffff", r"not a character \uffff"),
        ("a\u3164b\u115fc\u034fd", r"a\u3164b\u115fc\u034fd"),
        ("\u0301x", r"\u0301x"),
    ],
)
def test_what_steers_hides_or_turns_is_shown_by_its_number(text, shown):
    assert escape_line(text) == shown


@pytest.mark.parametrize(
    "text",
    ["", "resnet8", "Größe ≤ 5 ms × 2 – 3 …", "中文", "русский", "क्षि", "e\u0301", "🐱", "{}[red]<b>&amp;", r"\x1b"],
)
def test_letters_signs_and_emoji_of_every_script_stay(text):
    assert escape_line(text) == text


def test_emoji_that_are_joined_or_varied_are_shown_one_by_one():
    assert escape_line("👩\u200d💻 ❤\ufe0f") == r"👩\u200d💻 ❤\ufe0f"


def test_a_letter_under_a_flood_of_marks_keeps_eight():
    shown = escape_line("a" + 500 * "\u0300" + "b")
    assert shown.count("\u0300") == 8
    assert shown.endswith(r"\u0300b")


@pytest.mark.parametrize("character", ["x", "\x1b", "中", "\u0300"])
def test_a_text_of_a_million_characters_is_cut_and_says_so(character):
    shown = escape_line(1_000_000 * character)
    assert len(shown) <= LINE_LENGTH_MAX
    assert shown.endswith("... (1,000,000 characters)")


def test_a_text_of_the_largest_length_is_whole():
    assert escape_line(LINE_LENGTH_MAX * "x") == LINE_LENGTH_MAX * "x"


def test_lines_of_our_own_layout_stay():
    assert escape_lines("malformed: x\x1b\n  fix: y\n") == "malformed: x\\x1b\n  fix: y\n"


@given(ANY_TEXT)
def test_no_text_gets_through_with_anything_hidden_in_it(text):
    shown = escape_line(text)
    assert not {unicodedata.category(character) for character in shown} & HIDDEN
    shown.encode()  # no surrogates either


@given(ANY_TEXT)
def test_what_was_escaped_stays_as_it_is(text):
    assert escape_line(escape_line(text)) == escape_line(text)


@given(
    st.recursive(ANY_TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_json_keeps_every_value_and_shows_nothing_raw(value):
    text = encode_json(value, indent=1)
    assert json.loads(text) == json.loads(json.dumps(value))
    assert not {unicodedata.category(character) for character in text.replace("\n", "")} & HIDDEN
    text.encode()


def test_json_of_letters_and_signs_stays_legible():
    assert encode_json({"ü": "≤ 5 中"}) == '{"ü": "≤ 5 中"}'


def test_json_takes_no_number_that_json_cannot_hold():
    with pytest.raises(ValueError, match="JSON"):
        encode_json(float("nan"))


def test_every_character_is_decided_upon():
    for number in range(sys.maxunicode + 1):
        shown = escape_line("a" + chr(number))
        assert shown == "a" + chr(number) or shown.startswith("a\\")

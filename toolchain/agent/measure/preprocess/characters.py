"""What a tokenizer asks of a character: the tables of character_tables.py, looked up the same in every language and Python.

Python's own unicodedata is not asked: its Unicode is another one in each version of Python, and what a model was trained with
is that of its tokenizer.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from typing import Dict, Iterator, List, Pattern, Tuple

from . import character_tables as tables

# Unicode's own arithmetic of Hangul (Unicode 16, section 3.12).
_SYLLABLES, _LEADING, _VOWELS, _TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7
_VOWEL_COUNT, _TRAILING_COUNT, _SYLLABLE_COUNT = 21, 28, 11172

# Chinese as BERT means it, which is not all that is written in Chinese signs (tokenizers, normalizers/bert.rs).
_CJK = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
# Looked up again and again are those of a language or two.
_KEPT = 4096


class Ranges:
    """Characters by ranges, each with a value."""

    def __init__(self, text: str) -> None:
        """Read ranges such as 300-14=e6, in hexadecimal: 0x15 characters, of which the first is 0x300 behind the last one before.

        Without a length it is one character, without a value 1.
        """
        self._first: List[int] = []
        self._last: List[int] = []
        self._values: List[int] = []
        end = 0
        for word in text.split():
            span, _, value = word.partition("=")
            step, _, more = span.partition("-")
            self._first.append(end + int(step, 16))
            end = self._first[-1] + int(more or "0", 16)
            self._last.append(end)
            self._values.append(int(value or "1", 16))

    def find(self, code: int) -> int:
        """Return the value of a character, 0 where it is in none."""
        at = bisect_right(self._first, code) - 1
        return self._values[at] if at >= 0 and code <= self._last[at] else 0

    def __iter__(self) -> Iterator[int]:
        for first, last in zip(self._first, self._last):  # noqa: B905 - Python 3.8
            yield from range(first, last + 1)

    def write_class(self) -> str:
        """Return the characters as they stand between the brackets of a regular expression."""
        return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in zip(self._first, self._last))  # noqa: B905 - 3.8


@functools.lru_cache(maxsize=None)
def _read_ranges(text: str) -> Ranges:
    return Ranges(text)


@functools.lru_cache(maxsize=None)
def _read_columns(tables_by_length: Tuple[Tuple[str, ...], ...]) -> Dict[int, str]:
    """Return what characters become: of each length a text of the characters, as Ranges has them, and one for each part."""
    found: Dict[int, str] = {}
    for spans, *columns in tables_by_length:
        codes: List[int] = []
        for span in spans.split():
            first, _, last = span.partition("-")
            codes.extend(range(int(first, 16), int(last or first, 16) + 1))
        parts = zip(*([chr(int(part, 16)) for part in column.split()] for column in columns))  # noqa: B905 - Python 3.8
        found.update(zip(codes, map("".join, parts)))  # noqa: B905 - Python 3.8
    return found


@functools.lru_cache(maxsize=None)
def _read_lower() -> Dict[int, str]:
    """Return lower case by character, of words such as 100-12e/2=1: every second one from 100 to 12e is 1 before its own."""
    found = {}
    for word in tables.LOWER.split():
        span, _, distance = word.partition("=")
        ends, _, step = span.partition("/")
        first, _, last = ends.partition("-")
        for code in range(int(first, 16), int(last or first, 16) + 1, int(step or "1", 16)):
            found[code] = chr(code + int(distance, 16))
    return {**found, **_read_columns(tables.LOWER_LONG)}


@functools.lru_cache(maxsize=_KEPT)
def is_space(character: str) -> bool:
    """Return whether a character is white space."""
    return bool(_read_ranges(tables.SPACE).find(ord(character)))


@functools.lru_cache(maxsize=_KEPT)
def is_removed(character: str) -> bool:
    """Return whether cleaning takes a character out: controls, marks of direction and the like, and what is none."""
    return bool(_read_ranges(tables.REMOVED).find(ord(character)))


@functools.lru_cache(maxsize=_KEPT)
def is_punctuation(character: str) -> bool:
    """Return whether a character is a word of its own."""
    return bool(_read_ranges(tables.PUNCTUATION).find(ord(character)))


@functools.lru_cache(maxsize=_KEPT)
def is_accent(character: str) -> bool:
    """Return whether a character is a mark that takes no room."""
    return bool(_read_ranges(tables.ACCENT).find(ord(character)))


@functools.lru_cache(maxsize=_KEPT)
def is_cjk(character: str) -> bool:
    """Return whether a character is Chinese as BERT means it: a word of its own."""
    code = ord(character)
    return any(first <= code <= last for first, last in _CJK)


def lower(character: str) -> str:
    """Return a character in lower case, whatever stands around it."""
    return _read_lower().get(ord(character), character)


@functools.lru_cache(maxsize=_KEPT)
def decompose(character: str) -> str:
    """Return the canonical decomposition of a character."""
    code = ord(character)
    syllable = code - _SYLLABLES
    if 0 <= syllable < _SYLLABLE_COUNT:
        leading, rest = divmod(syllable, _VOWEL_COUNT * _TRAILING_COUNT)
        vowel, trailing = divmod(rest, _TRAILING_COUNT)
        jamo = chr(_LEADING + leading) + chr(_VOWELS + vowel)
        return jamo + chr(_TRAILING + trailing) if trailing else jamo
    return _read_columns(tables.DECOMPOSED).get(code, character)


@functools.lru_cache(maxsize=_KEPT)
def _find_order(character: str) -> int:
    return _read_ranges(tables.ORDER).find(ord(character))


def order_marks(text: str) -> str:
    """Return decomposed text with the marks behind each character in canonical order (Unicode, D109)."""
    ordered: List[str] = []
    run: List[Tuple[int, str]] = []
    for character in text:
        order = _find_order(character)
        if order:
            run.append((order, character))
            continue
        ordered.extend(mark for _, mark in sorted(run, key=lambda pair: pair[0]))
        run.clear()
        ordered.append(character)
    ordered.extend(mark for _, mark in sorted(run, key=lambda pair: pair[0]))
    return "".join(ordered)


@functools.lru_cache(maxsize=None)
def list_spaces() -> str:
    """Return all white space."""
    return "".join(map(chr, _read_ranges(tables.SPACE)))


@functools.lru_cache(maxsize=None)
def compile_gpt2() -> Pattern[str]:
    """Return what GPT-2 cuts a text by: endings of English, words, numbers, and signs with a space in front, and white space.

    It is the expression of tokenizers, pre_tokenizers/byte_level.rs, with the tables' letters and numbers in place of Unicode's of
    one year. Each character is in one of its matches.
    """
    letter, number, space = (_read_ranges(text).write_class() for text in (tables.LETTER, tables.NUMBER, tables.SPACE))
    return re.compile(
        f"'s|'t|'re|'ve|'m|'ll|'d| ?[{letter}]+| ?[{number}]+| ?[^{space}{letter}{number}]+|[{space}]+(?![^{space}])|[{space}]+"
    )

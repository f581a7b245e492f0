"""Makes text of others fit to be shown: no character steers a terminal, hides, or turns the direction of what follows.

Names and texts come from models, data, recipes and boards, and keep their true value wherever something is judged; what
people see goes through here, at the last moment. It is one way and repeatable: what was escaped once stays as it is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, List, Optional

LINE_LENGTH_MAX = 4000
"""Characters of one text: a terminal of 50 lines of 80. The whole stands in report.json."""

# More marks on one letter than a script needs (Hebrew with points and accents has up to four) run over the lines around
# it; the 30 of UAX #15, section 13, are a bound for buffers.
_MARKS_MAX = 8
# What has no shape of its own, and is no control, format or separator character either: Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt as far as its category is M or L, and the blank of Braille.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def escape_line(text: str, *, length_max: Optional[int] = LINE_LENGTH_MAX) -> str:
    r"""Return text as one line: what has no shape of its own as its number, such as \x1b, \u202e, \n; what is too long cut.

    Letters, digits, signs and emoji of every script stay. Controls, formats (directions, zero widths, the joiner between
    emoji), variation selectors, spaces but the common one, surrogates (names that are no UTF-8), private and unassigned
    characters do not, nor do marks that stand on nothing or more than eight on one letter.
    """
    is_short = length_max is None or len(text) <= length_max
    if is_short and text.isascii() and text.isprintable():
        return text
    parts = []
    length, marks = 0, _MARKS_MAX  # a mark at the beginning would stand on what is printed before it
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        marks = marks + 1 if is_mark else 0
        part = character if _is_shown(character) and marks <= _MARKS_MAX else _name_character(character)
        marks = marks if part == character else _MARKS_MAX
        length += len(part)
        parts.append(part)
        if length_max is not None and length > length_max:
            return _cut(parts, len(text), length_max)
    return "".join(parts)


def escape_lines(text: str, *, length_max: Optional[int] = LINE_LENGTH_MAX) -> str:
    """Return text with its newlines, each line escaped: for what we have laid out in lines, of values without newlines."""
    return "\n".join(escape_line(line, length_max=length_max) for line in text.split("\n"))


def encode_json(document: Any, *, indent: Optional[int] = None, sort_keys: bool = False) -> str:
    r"""Return a JSON document whose strings keep their values and whose text can be shown: what cannot is JSON's \uXXXX.

    Raises ValueError for a number that JSON cannot hold.
    """
    text = json.dumps(document, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    if text.replace("\n", "").isprintable() and not _INVISIBLE.search(text):
        return text
    # Outside of its strings a document is ASCII.
    return "".join(
        character if character == "\n" or _is_shown(character) else json.dumps(character)[1:-1] for character in text
    )


def _is_shown(character: str) -> bool:
    return character.isprintable() and _INVISIBLE.match(character) is None


def _name_character(character: str) -> str:
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _cut(parts: List[str], characters: int, length_max: int) -> str:
    """Return as many parts as fit beside the words that say how much there was."""
    note = f"... ({characters:,} characters)"
    length = sum(map(len, parts))
    while length + len(note) > length_max:
        length -= len(parts.pop())
    return "".join(parts) + note

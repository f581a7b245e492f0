"""Texts that steer a terminal, hide, forge lines or markup; and what finds that one of them came through raw."""

from __future__ import annotations

import re
import unicodedata

HOSTILE = (
    "name\x1b]0;title\x07\x1b[2J\x9b31m\x7f\x00"
    "\nPASS  resnet8 int8 on cpu  (exit 0)\r\x0b\x85\u2028\u2029"
    "\u202eexe.\u2066\u200f\u061c\u200b\ufeff\U000e0041\u3164\ufe0f\ue000"
    "[red]markup[/red] <script>alert(1)</script> &amp; ]]> `code` {{ 7 * 7 }}"
)
"""One of each kind: what a model, a data set, a recipe or a board may give as a name."""

SURROGATE = "caf\udce9"
"""A file's name that is no UTF-8, as Python reads it from the disk."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def find_raw(text: str, *, may_have_colours: bool = False) -> list[str]:
    """Return the characters of a text that no reader should get as they are; newlines are those of a layout."""
    rest = _COLOURS.sub("", text) if may_have_colours else text
    found = {
        character
        for character in rest.replace("\n", "")
        if unicodedata.category(character) in _HIDDEN or character in "\u3164\ufe0f"
    }
    return sorted(map(ascii, found))


def has_forged_line(text: str) -> bool:
    """Return whether a newline of HOSTILE began a line."""
    return any(line.lstrip().startswith("PASS  resnet8 int8 on cpu") for line in text.splitlines())

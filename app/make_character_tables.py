"""Writes the tables of characters that tokenizers go by, for the agent and for C++: python app/make_character_tables.py.

They are not Unicode's of one year: they are what HuggingFace's tokenizers do with each of the 1,112,064 characters, asked one by
one, since that is what models are trained with. Then `ruff format`. It needs `tokenizers` of the version that toolchain/agent/text.py names.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

sys.path.insert(0, str(Path(__file__).parents[1]))
from toolchain.agent.text import TABLES

_ROOT = Path(__file__).parents[1]
_PYTHON = _ROOT / "toolchain/agent/measure/preprocess/character_tables.py"
_CPP = _ROOT / "app/cpp/text/character_tables.inc"
_NOTE = "Written by app/make_character_tables.py; not to be edited."

_CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
_HANGUL = range(0xAC00, 0xAC00 + 11172)
# Marks of canonical class 1 and 240: what is of any class between changes places with one of them.
_FIRST, _LAST = "\u0334", "\u0345"

_RANGES = ("removed", "space", "punctuation", "accent", "order", "letter", "number")

Rows = list[tuple[int, int, int]]
"""First, last and value of characters in a row."""


def ask() -> dict[str, dict[int, int] | dict[int, str]]:  # noqa: C901, PLR0912 - a question after the other
    """Return what tokenizers do with each character."""
    clean = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
    )
    strip = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    low = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=True)
    nfd, split = normalizers.NFD(), pre_tokenizers.BertPreTokenizer()
    gpt = pre_tokenizers.ByteLevel(add_prefix_space=False)
    removed, space, punctuation, accent, order, letter_of, number_of = ({} for _ in range(7))
    decomposed: dict[int, str] = {}
    lower: dict[int, str] = {}
    for code in _CODES:
        letter = chr(code)
        cleaned = clean.normalize_str(f"a{letter}b")
        if cleaned == "ab":
            removed[code] = 1
        words = [word for word, _ in split.pre_tokenize_str(f"a{letter}b")]
        if words == ["a", "b"]:
            space[code] = 1
        elif len(words) == 3:
            punctuation[code] = 1
        if (cleaned == "a b") != (code in space and code not in removed) or len(cleaned) < 2:
            raise ValueError(f"U+{code:04X} is white space to one of two: {cleaned!r}, {words}")
        runs = [name for name in "a1!" if len(gpt.pre_tokenize_str(f"{name}{letter}")) == 1]
        if len(runs) != (code not in space):
            raise ValueError(f"U+{code:04X} is of several kinds: {runs}")
        if "a" in runs:
            letter_of[code] = 1
        if "1" in runs:
            number_of[code] = 1
        parts = nfd.normalize_str(letter)
        if parts != letter and code not in _HANGUL:
            decomposed[code] = parts
        if parts == letter:
            if strip.normalize_str(f"a{letter}") == "a":
                accent[code] = 1
            moves = nfd.normalize_str(f"a{letter}{_FIRST}") == f"a{_FIRST}{letter}"
            moves |= letter not in (_FIRST, _LAST) and nfd.normalize_str(f"a{_LAST}{letter}") == f"a{letter}{_LAST}"
            if moves or letter in (_FIRST, _LAST):
                order[code] = unicodedata.combining(letter)
        lowered = low.normalize_str(letter)
        if lowered != letter:
            lower[code] = lowered
    return {
        "removed": removed, "space": space, "punctuation": punctuation, "accent": accent, "order": order,
        "letter": letter_of, "number": number_of, "decomposed": decomposed, "lower": lower,
    }  # fmt: skip


def join(values: Mapping[int, int]) -> Rows:
    """Return characters as rows of one value each."""
    rows: Rows = []
    for code, value in sorted(values.items()):
        if rows and rows[-1][1] == code - 1 and rows[-1][2] == value:
            rows[-1] = (rows[-1][0], code, value)
        else:
            rows.append((code, code, value))
    return rows


def join_moves(lower: Mapping[int, str]) -> list[tuple[int, int, int, int]]:
    """Return first, last, step and distance of those that become one character."""
    rows: list[tuple[int, int, int, int]] = []
    for code, text in sorted(lower.items()):
        if len(text) != 1:
            continue
        distance = ord(text) - code
        if rows and rows[-1][3] == distance and code - rows[-1][1] in (1, 2):
            first, last, step, _ = rows[-1]
            if first == last or code - last == step:
                rows[-1] = (first, code, code - last, distance)
                continue
        rows.append((code, code, 1, distance))
    return rows


def _write_steps(rows: Rows) -> Iterator[str]:
    """Yield each row as how far it begins behind the end of the one before, how many more it has, and its value."""
    end = 0
    for first, last, value in rows:
        yield (
            f"{first - end:x}" + (f"-{last - first:x}" if last > first else "") + (f"={value:x}" if value != 1 else "")
        )
        end = last


def _write_span(first: int, last: int) -> str:
    return f"{first:x}" if first == last else f"{first:x}-{last:x}"


def _write_string(words: Iterable[str]) -> Iterator[str]:
    lines = textwrap.wrap(" ".join(words), 110, break_long_words=False, break_on_hyphens=False)
    yield from (f'    "{line}{" " if line is not lines[-1] else ""}"' for line in lines)


def write_python(found: Mapping[str, Mapping[int, object]], moves: Rows) -> str:
    """Return the agent's module."""
    lines = [
        f'"""What characters are to {TABLES}, in hexadecimal (characters.py reads it). {_NOTE}"""',
        "",
        f'TABLES = "{TABLES}"',
    ]
    for name in _RANGES:
        lines += ["", f"{name.upper()} = (", *_write_string(_write_steps(join(found[name]))), ")"]
    words = [
        _write_span(first, last) + (f"/{step:x}" if step != 1 else "") + f"={distance:x}"
        for first, last, step, distance in moves
    ]
    lines += ["", "LOWER = (", *_write_string(words), ")"]
    for name, texts in (("LOWER_LONG", _list_long(found["lower"])), ("DECOMPOSED", found["decomposed"])):
        lines += ["", f"{name} = (", *_write_columns(texts), ")"]
    return "\n".join(lines) + "\n"


def _write_columns(texts: Mapping[int, str]) -> Iterator[str]:
    """Yield characters by the length of what they become: the characters, and a column for each part of that."""
    for length in sorted({len(text) for text in texts.values()}):
        own = {code: text for code, text in sorted(texts.items()) if len(text) == length}
        columns = [[f"{ord(text[place]):x}" for text in own.values()] for place in range(length)]
        spans = [_write_span(first, last) for first, last, _ in join(dict.fromkeys(own, 1))]
        yield "    ("
        for words in (spans, *columns):
            yield from ("        (", *(f"    {line}" for line in _write_string(words)), "        ),")
        yield "    ),"


def _list_long(lower: Mapping[int, str]) -> dict[int, str]:
    return {code: text for code, text in lower.items() if len(text) != 1}


def write_cpp(found: Mapping[str, Mapping[int, object]], moves: Rows) -> str:
    """Return the tables of text.cpp."""
    parts: list[int] = []
    lines = [
        f"// What characters are to {TABLES}. {_NOTE}",
        f'constexpr const char* kTables = "{TABLES}";',
        "struct Valued { char32_t first, last; uint32_t value; };",
        "struct Move { char32_t first, last; uint32_t step; int32_t distance; };",
        "struct Long { char32_t first, last; uint32_t start, count; };",
    ]
    for name in _RANGES:
        cells = [f"{{{first:#x}, {last:#x}, {value}}}" for first, last, value in join(found[name])]
        lines += [f"constexpr Valued k{name.capitalize()}[] = {{", *_wrap(cells), "};"]
    cells = [f"{{{first:#x}, {last:#x}, {step}, {distance}}}" for first, last, step, distance in moves]
    lines += ["constexpr Move kLower[] = {", *_wrap(cells), "};"]
    for name, texts in (("LowerLong", _list_long(found["lower"])), ("Decomposed", found["decomposed"])):
        cells = []
        for code, text in sorted(texts.items()):
            cells.append(f"{{{code:#x}, {code:#x}, {len(parts)}, {len(text)}}}")
            parts += map(ord, text)
        lines += [f"constexpr Long k{name}[] = {{", *_wrap(cells), "};"]
    lines += ["constexpr char32_t kLongParts[] = {", *_wrap([f"{part:#x}" for part in parts]), "};"]
    return "\n".join(lines) + "\n"


def _wrap(cells: list[str]) -> Iterator[str]:
    yield from textwrap.wrap(", ".join(cells), 138, initial_indent="    ", subsequent_indent="    ")


def main() -> None:
    """Write both files."""
    version = ".".join(tokenizers.__version__.split(".")[:2])
    if f"tokenizers {version}" != TABLES:
        raise SystemExit(f"expected {TABLES} (toolchain/agent/text.py), found tokenizers {tokenizers.__version__}")
    found = ask()
    moves = join_moves(found["lower"])
    _PYTHON.write_text(write_python(found, moves), encoding="utf-8")
    _CPP.write_text(write_cpp(found, moves), encoding="utf-8")


if __name__ == "__main__":
    main()

"""TOML files that users write: read strictly, and explained when something in them is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from toolchain.errors import ToolchainError, suggest_name, usage
from toolchain.run.regular_file import read_regular

# What pydantic calls by the names of Python's types.
_EXPECTED = {
    "dict_type": "a table",
    "invalid-json-value": "text, a number, true, false, a list or a table",
    "finite_number": "a finite number",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": "text",
    "too_short": "at least one item",
}

# The largest of ours has 4 KiB; a recipe that names every node of a large model, or a list of a thousand boards, a hundred.
_SIZE_MAX = 1 << 19
# Ours have 2 parts, and values 4 levels.
_PARTS_MAX = 16
_DEPTH_MAX = 32
# TOML 1.0, "Integer": 64 bits are to be taken, and what cannot be held is an error.
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

# Strings and comments, as TOML 1.0 writes them; one without an end goes to the end of its line.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:[^"\\\n]|\\.)*+"?|\'[^\'\n]*\'?|#[^\n]*', re.DOTALL
)
_NO_KEY = re.compile(r"[,=\[\]{}]")


class Section(BaseModel):
    """A table of a TOML file: an unknown key, a value of another type, an infinite number or NaN is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Table = TypeVar("Table", bound=BaseModel)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Return the parsed TOML file; a missing, unreadable or oversized one is a usage error that names file and line."""
    try:
        text = read_regular(path, size_max=_SIZE_MAX).decode("utf-8-sig")
        _check_text(text)
        document = tomllib.loads(text)
        _check_value(document, "")
    except FileNotFoundError as error:
        raise usage(f"the {kind} {path} does not exist", fix=f"check the path of the {kind}") from error
    except OSError as error:
        raise usage(
            f"the {kind} cannot be read",
            where=str(path),
            expected=f"a file of up to {_SIZE_MAX:,} bytes that you may read",
            found=error.strerror,
            fix=f"check the path of the {kind} and its permissions",
        ) from error
    # ValueError: no TOML, no UTF-8, or beyond the limits. RecursionError: lists nested deeper than the parser follows.
    except (ValueError, RecursionError) as error:
        raise usage(
            f"the {kind} is not valid TOML",
            where=str(path),
            expected="TOML 1.0 in UTF-8",
            found=str(error),
            fix="correct the file at that place",
        ) from error
    return document


def _check_text(text: str) -> None:
    """Refuse, by ValueError, what the parser takes gigabytes for: it keeps every part of every key.

    At the limits, 512 KiB of tables of 16 parts each take it 2 s and 220 MB; one key of 50,000 parts took 5 GB.
    """
    for number, line in enumerate(_STRING.sub(_blank_string, text).splitlines(), start=1):
        if any(run.count(".") >= _PARTS_MAX for run in _NO_KEY.split(line)):
            raise ValueError(f"a key of more than {_PARTS_MAX} parts (at line {number})")


def _blank_string(found: re.Match[str]) -> str:
    """Return as many lines as a string or comment has, without its dots."""
    return "s" + "\n" * found[0].count("\n")


def _check_value(value: object, key: str, depth: int = 0) -> None:
    """Refuse, by ValueError, what no program after this one could hold, print or open."""
    if depth > _DEPTH_MAX:
        raise ValueError(f"tables or lists in more than {_DEPTH_MAX} others, in {key[:200]}")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_value(name, f"{key}.{name}".lstrip("."))
            _check_value(inner, f"{key}.{name}".lstrip("."), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_value(inner, key, depth + 1)
    elif isinstance(value, str) and "\0" in value:
        raise ValueError(f"a text that holds the character NUL, in {key[:200]!r}")
    elif isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        raise ValueError(f"a whole number of more than 64 bits, in {key[:200]}")


def check_table(table: type[Table], document: Mapping[str, Any], *, what: str, where: str) -> Table:
    """Return a table's content; raises ToolchainError (exit 2) for the first unknown key, missing key or wrong value.

    what: its name in messages, with an article. where: its file or place.
    """
    try:
        return table.model_validate(dict(document))
    except ValidationError as error:
        raise _explain(table, document, error, what, where) from error


def _explain(
    table: type[BaseModel], document: Mapping[str, Any], error: ValidationError, what: str, where: str
) -> ToolchainError:
    first = error.errors(include_url=False)[0]
    location = _trim(first["loc"], document)
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        known = _list_keys(table, location[:-1])
        return usage(
            f"unknown key in {what}",
            where=f"{where}: {key}",
            expected=f"one of {', '.join(known) or 'no key at all'}",
            found=str(location[-1]),
            fix=suggest_name(str(location[-1]), known, otherwise="remove it"),
        )
    if first["type"] == "missing":
        return usage(f"{what} lacks a key", where=where, expected=key, found="none", fix="add it")
    return usage(
        f"wrong value in {what}",
        where=f"{where}: {key}",
        expected=_EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be ")),
        found=repr(first["input"]),
        fix=f"correct {key}",
    )


def _trim(location: Sequence[str | int], document: object) -> list[str | int]:
    """Return the keys to a value as the file has it: without pydantic's names of alternatives, and places in a list of one."""
    kept: list[str | int] = []
    for part in location:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int):
            document = document[part] if part < len(document) else None
        else:
            break
        kept.append(part)
    return kept


def _list_keys(table: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys of the table at a location inside of another."""
    for part in location:
        annotation = table.model_fields[str(part)].annotation if part in table.model_fields else None
        choices = [annotation, *getattr(annotation, "__args__", ())]
        inner = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if not inner:
            return []
        table = inner[0]
    return [field.alias or name for name, field in table.model_fields.items()]

"""TOML files that users write: read strictly, and explained when something in them is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from toolchain.errors import ToolchainError, suggest_name, usage

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


class Section(BaseModel):
    """A table of a TOML file: an unknown key, a value of another type, an infinite number or NaN is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Table = TypeVar("Table", bound=BaseModel)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Return the parsed TOML file; a missing or unreadable one is a usage error that names file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise usage(f"the {kind} {path} does not exist", fix=f"check the path of the {kind}") from error
    except OSError as error:
        raise usage(
            f"the {kind} cannot be read",
            where=str(path),
            expected="a file that you may read",
            found=error.strerror,
            fix=f"check the path of the {kind} and its permissions",
        ) from error
    # ValueError: no TOML, no UTF-8, or a number of thousands of digits. RecursionError: lists nested too deep.
    except (ValueError, RecursionError) as error:
        raise usage(
            f"the {kind} is not valid TOML",
            where=str(path),
            expected="TOML 1.0 in UTF-8",
            found=str(error),
            fix="correct the file at that place",
        ) from error


def check_table(table: type[Table], document: Mapping[str, Any], *, what: str, where: str) -> Table:
    """Return a table's content; raises ToolchainError (exit 2) for the first unknown key, missing key or wrong value.

    what: its name in messages, with an article. where: its file or place.
    """
    try:
        return table.model_validate(dict(document))
    except ValidationError as error:
        raise _explain(table, error, what, where) from error


def _explain(table: type[BaseModel], error: ValidationError, what: str, where: str) -> ToolchainError:
    first = error.errors(include_url=False)[0]
    location = list(first["loc"])
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


def _list_keys(table: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys of the table at a location inside of another."""
    for part in location:
        annotation = table.model_fields[str(part)].annotation if part in table.model_fields else None
        choices = [annotation, *getattr(annotation, "__args__", ())]
        inner = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if not inner:
            return []
        table = inner[0]
    return list(table.model_fields)

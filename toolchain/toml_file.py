"""TOML files that users write: read whole, checked key by key; what is wrong is an error that names its place."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from toolchain.errors import ToolchainError, usage

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
    """A table of a TOML file: no other keys, no conversions, no infinite numbers, not changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Document = TypeVar("Document", bound=Section)


def read_document(path: Path, kind: str, shape: type[Document]) -> Document:
    """Return the content of a TOML file; `kind` is what the user calls it.

    Raises ToolchainError (exit 2): a missing or unreadable file, a syntax error, an unknown key, a wrong type or value.
    """
    try:
        return shape.model_validate(_read_toml(path, kind))
    except ValidationError as error:
        raise _explain(path, kind, shape, error.errors(include_url=False)[0]) from error


def _read_toml(path: Path, kind: str) -> dict[str, Any]:
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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(
            f"the {kind} is not valid TOML",
            where=str(path),
            expected="TOML 1.0 in UTF-8",
            found=str(error),
            fix="correct the file at that place",
        ) from error


def _explain(path: Path, kind: str, shape: type[Section], error: ErrorDetails) -> ToolchainError:
    """Return the usage error for what pydantic found wrong."""
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _list_keys(shape, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        return usage(
            f"unknown key in the {kind}",
            where=f"{path}: {_join(place)}",
            expected=f"one of {', '.join(known)}",
            found=str(place[-1]),
            fix=f"write {near[0]}" if near else "remove it",
        )
    if error["type"] == "missing":
        return usage(
            f"a key is missing in the {kind}", where=str(path), expected=_join(place), found="none", fix="add it"
        )
    return usage(
        f"wrong value in the {kind}",
        where=f"{path}: {_join(place)}",
        expected=_EXPECTED.get(error["type"], error["msg"].removeprefix("Input should be ")),
        found=repr(error["input"]),
        fix=f"correct {_join(place)}",
    )


def _join(place: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in place)


def _list_keys(shape: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys that a table may have; `place` is the way to it from the top of the file."""
    for part in place:
        kinds = [shape.model_fields[str(part)].annotation]
        kinds += getattr(kinds[0], "__args__", ())  # of a table that may be absent
        shape = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(shape.model_fields)

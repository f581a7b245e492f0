"""Options of a metric or a decoder: data that a recipe gives, read strictly into the member's own frozen dataclass."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Mapping, Optional, get_type_hints

from ..decode import decode
from ..errors import ExitCode, ToolchainError


def read_options(kind: Optional[type], given: Mapping[str, object], *, member: str, where: str) -> Any:
    """Return options (of TOML or JSON) as the dataclass of a member, None for a member that has none.

    A field without a default has to be given. `__post_init__` may raise ValueError for a value that makes no sense.
    Raises ToolchainError (exit 2) for an unknown option, a missing one, a wrong type or value.
    """
    fields = {} if kind is None else {field.name: field for field in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            expected = f"one of {', '.join(fields)}" if fields else "no options"
            fix = f"write {near[0]}" if near else "take it out"
            raise _refuse(f"{member} has no option {name!r}", where, expected, repr(name)[:80], fix)
    if kind is None:
        return None
    hints, values = get_type_hints(kind), {}
    for name, field in fields.items():
        if name in given:
            values[name] = _read_value(hints[name], given[name], member, f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _refuse(f"{member} needs the option {name}", where, name, ", ".join(given) or "none", f"give {name}")
    try:
        return kind(**values)
    except ValueError as error:
        text = f"{member} cannot take these options"
        raise _refuse(text, where, str(error), repr(values)[:80], "correct the value") from error


def _read_value(hint: Any, value: object, member: str, where: str) -> object:
    # TOML has 1 and 1.0 apart, and so have we; a list is what a tuple is written as.
    try:
        return decode(hint, list(value) if isinstance(value, tuple) else value, where)
    except ToolchainError as error:
        raise _refuse(
            f"{member} cannot take this option",
            error.where or where,
            error.expected or "another type",
            error.found or repr(value)[:80],
            "correct the value",
        ) from error


def _refuse(what: str, where: str, expected: str, found: str, fix: str) -> ToolchainError:
    return ToolchainError(ExitCode.USAGE, what, where=where, expected=expected, found=found, fix=fix)

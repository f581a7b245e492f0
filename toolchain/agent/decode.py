"""Turns parsed JSON into typed, frozen records, and refuses everything that the types do not say."""

from __future__ import annotations

import functools
import json
import math
import re
import reprlib
import sys
import types
from collections import abc
from dataclasses import fields, is_dataclass
from typing import Any, Dict, List, Tuple, Union, get_args, get_origin, get_type_hints

from .errors import ExitCode, ToolchainError

# What we write has some 8 levels; what takes more is not read by those who come after the parser, which recur.
_DEPTH_MAX = 32
# A float has at most 24 characters (repr), int64_t 20; to read a number takes time in the square of its digits.
_NUMBER_CHARACTERS_MAX = 64
_FOUND_CHARACTERS_MAX = 200
# No size, count or time is larger: what C calls int64_t.
_INT_MAX = 2**63 - 1
_SURROGATE = re.compile(r"\\u[dD]")
# Optional[X], and X | None of Python 3.10.
_UNIONS = (Union, getattr(types, "UnionType", Union))


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.MALFORMED,
        "the manifest cannot be read",
        where=clip(where),
        expected=expected,
        found=clip(found),
        fix="write the bundle again",
    )


def clip(text: str) -> str:
    """Return the beginning of a text that is too long for a message."""
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[: _FOUND_CHARACTERS_MAX - 3] + "..."


def _describe(value: object) -> str:
    # Never the whole of it: a string of megabytes is not written out to be cut.
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    text = short.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@functools.lru_cache(maxsize=None)
def _read_hints(kind: Any) -> Dict[str, Any]:
    # Annotations are text, and to read those of one record takes as long as to decode ten.
    return get_type_hints(kind)


def _decode_record(kind: Any, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise _refuse(where, "an object", _describe(value))
    names = [field.name for field in fields(kind)]
    for name in names:
        if name not in value:
            raise _refuse(where, f"the key {name!r}", "no such key")
    for key in value:
        if key not in names:
            raise _refuse(where, f"only the keys {', '.join(names)}", f"the unknown key {_describe(key)}")
    hints = _read_hints(kind)
    return kind(**{name: decode(hints[name], value[name], f"{where}.{name}") for name in names})


def _decode_scalar(kind: Any, value: object, where: str) -> object:
    # bool is a subclass of int in Python, and true is no number in a manifest.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A whole number of JSON has any length; compared first, because float() of a long one raises.
    if kind is float and is_number and -sys.float_info.max <= value <= sys.float_info.max:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    if kind is int and is_number and isinstance(value, int) and -_INT_MAX <= value <= _INT_MAX:
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    expected = {float: "a finite number", int: "a whole number", str: "a string", bool: "true or false"}[kind]
    raise _refuse(where, expected, _describe(value))


def _is_finite_float(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def _decode_list(kind: Any, value: object, where: str) -> object:
    if not isinstance(value, list):
        raise _refuse(where, "a list", _describe(value))
    if kind is float and all(map(_is_finite_float, value)):  # of samples there are millions
        return tuple(value)
    return tuple(decode(kind, item, f"{where}[{index}]") for index, item in enumerate(value))


def decode(kind: Any, value: object, where: str) -> Any:
    """Return `value` (of json.loads) as `kind`: a dataclass, Optional, Tuple[X, ...], Mapping[str, X], object or scalar.

    Raises ToolchainError (exit 23) for an unknown key, a missing key or a wrong type; `where` names the place in it.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if origin in _UNIONS:
        return None if value is None else decode(arguments[0], value, where)
    if origin is tuple:
        return _decode_list(arguments[0], value, where)
    if origin is abc.Mapping:
        if not isinstance(value, dict):
            raise _refuse(where, "an object", _describe(value))
        return {key: decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(kind):
        return _decode_record(kind, value, where)
    return _decode_scalar(kind, value, where)


def join_pairs(pairs: List[Tuple[str, object]]) -> Dict[str, object]:
    """Return an object of JSON; raises ValueError where a key appears twice, of which readers take different ones."""
    record = dict(pairs)
    if len(record) != len(pairs):
        message = "a key appears twice"
        raise ValueError(message)
    return record


def _refuse_constant(name: str) -> object:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _read_int(text: str) -> int:
    return int(_check_number(text))


def _read_float(text: str) -> float:
    value = float(_check_number(text))
    if not math.isfinite(value):  # 1e400, which no report can hold
        message = f"a number beyond every float: {text}"
        raise ValueError(message)
    return value


def _check_number(text: str) -> str:
    if len(text) > _NUMBER_CHARACTERS_MAX:
        message = f"a number of {len(text)} characters"
        raise ValueError(message)
    return text


def _check_depth(document: object) -> None:
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(_DEPTH_MAX):
        level = [item for value in level for item in _list_items(value) if isinstance(item, (dict, list))]
        if not level:
            return
    message = f"nesting deeper than {_DEPTH_MAX}"
    raise ValueError(message)


def _list_items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _parse(text: str) -> object:
    document: object = json.loads(
        text,
        object_pairs_hook=join_pairs,
        parse_constant=_refuse_constant,
        parse_int=_read_int,
        parse_float=_read_float,
    )
    _check_depth(document)
    if _SURROGATE.search(text):  # half of a surrogate pair is no text: nothing can print it, or write it to a file
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def parse_json(data: bytes, where: str) -> object:
    """Return what strict JSON says: UTF-8, no key twice, no NaN or infinity, no endless numbers or nesting.

    Raises ToolchainError (exit 23).
    """
    try:
        return _parse(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the manifest cannot be read",
            where=where,
            expected="strict JSON in UTF-8",
            found=str(error) or "nesting too deep",
            fix="write the bundle again",
        ) from error

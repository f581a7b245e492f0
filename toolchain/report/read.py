"""Reads a report.json that a run wrote, here or elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from pydantic import TypeAdapter, ValidationError

from toolchain.errors import ToolchainError, malformed, usage
from toolchain.report.shape import SCHEMA, Report
from toolchain.run.regular_file import read_regular

REPORT_NAME = "report.json"

# One of a deploy has some 40 kB; a layer takes 100 bytes.
_BYTES_MAX = 32 * 1024 * 1024


def read_report(path: Path) -> Report:
    """Return a report, of which no key is missing and no number is NaN.

    Raises ToolchainError: exit 2 where the file cannot be read, 23 where it is no report, or one of another schema.
    """
    try:
        document = json.loads(read_regular(path, size_max=_BYTES_MAX), parse_constant=_refuse_constant)
    except OSError as error:
        fix = f"name the {REPORT_NAME} of a deploy, or the folder with it"
        raise usage("a report cannot be read", where=str(path), found=error.strerror or str(error), fix=fix) from error
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "JSON of finite numbers", str(error)) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise _refuse(path, f"schema {SCHEMA}", f"schema {schema}")
    try:
        return TypeAdapter(Report).validate_python(document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise _refuse(path, "every key of report.schema.json", f"{_join(first['loc'])}: {first['msg']}") from error


def _join(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place))


def _refuse(path: Path, expected: str, found: str) -> ToolchainError:
    return malformed(
        "this is no report that this toolchain reads",
        where=str(path),
        expected=expected,
        found=found,
        fix=f"name the {REPORT_NAME} of a deploy by this toolchain",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)

"""Options of a data set: checked like every other table of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from toolchain.errors import usage


class DataOptions(BaseModel):
    """Options of a data set: one field each."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Options = TypeVar("Options", bound=DataOptions)


def read_options(kind: type[Options], name: str, options: Mapping[str, Any]) -> Options:
    """Return the options of the data set `name`; raises ToolchainError (exit 2) for an unknown or wrong one."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        known = ", ".join(kind.model_fields) or "none"
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise usage(
                f"unknown option of the data set {name}",
                where=f"data.options.{key}",
                expected=f"one of: {known}",
                found=key,
                fix="remove it or correct its spelling",
            ) from error
        if first["type"] == "missing":
            raise usage(
                f"the data set {name} needs an option",
                where="data.options",
                expected=key,
                fix=f"add it to the recipe: options = {{ {key} = … }}",
            ) from error
        raise usage(
            f"wrong option of the data set {name}",
            where=f"data.options.{key}",
            expected=first["msg"].removeprefix("Input should be "),
            found=repr(first["input"]),
        ) from error

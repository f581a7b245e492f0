"""Options that are paths: declared in the type of a data set's options, found there by whoever moves or resolves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel

_IS_PATH = "a path, relative to the recipe"

DataPath = Annotated[str, _IS_PATH]
"""An option that names a file or folder."""


def change_paths(options: Mapping[str, Any], model: type[BaseModel], change: Callable[[str], str]) -> dict[str, Any]:
    """Return the options with every path among them changed, in tables within them too."""
    fields = model.model_fields
    names = {name for name, field in fields.items() if _is_path(field.annotation, field.metadata)}
    changed: dict[str, Any] = {}
    for name, value in options.items():
        table = _find_table(fields[name].annotation) if name in fields else None
        if name in names and isinstance(value, str):
            changed[name] = change(value)
        elif table is not None and isinstance(value, Mapping):
            changed[name] = change_paths(value, table, change)
        else:
            changed[name] = value
    return changed


def _find_table(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a type is, or one of several that is."""
    choices = [annotation, *get_args(annotation)]
    tables = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
    return tables[0] if tables else None


def _is_path(annotation: Any, metadata: list[Any]) -> bool:
    """Return whether a type is DataPath, or one of several that is, as in DataPath | None."""
    return _IS_PATH in metadata or any(
        _IS_PATH in getattr(choice, "__metadata__", ()) for choice in get_args(annotation)
    )

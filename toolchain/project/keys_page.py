"""docs/keys.md: every key of what users write, with type, default and meaning, from the classes that read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from toolchain.project.members import list_members
from toolchain.project.schema import (
    Schema,
    describe_options,
    list_option_seams,
    write_device_schema,
    write_recipe_schema,
    write_target_schema,
)

# Larger bounds keep numbers within their types, and say nothing to people.
_BOUND_MAX = 1e15

_HEAD = """# Every key, its type and its default

Written by `toolchain schema --page` from the code that reads the files, and compared with it by the tests. What the keys are for:
[recipes and targets](recipe.md), [boards](devices.md), [data sets](data.md), [metrics](metrics.md),
[compression](compression/models.md). `toolchain schema recipe` is the same for editors (JSON Schema).
"""


def write_keys_page() -> str:
    """Return the page."""
    recipe, target, device = write_recipe_schema(), write_target_schema(), write_device_schema()
    parts = [_HEAD, "## recipe.toml\n"]
    for name, table in recipe["properties"].items():
        parts.append(_write_table(f"### [{name}]" if name != "compress" else "### [[compress]]", table, recipe))
    parts.append("## targets/NAME.toml\n")
    parts.append(_write_table(None, _without_text(target), target))
    parts.append("## devices.toml, [NAME]\n")
    parts.append(_write_table(None, device["additionalProperties"], device))
    for title, seam in list_option_seams().items():
        parts.append(f"## {title}\n")
        for name, member in list_members(seam).items():
            if member.is_ours:
                options = describe_options(seam, name)
                parts.append(_write_table(f"### {name}", _without_text(options), options))
    return "\n".join(parts)


def _write_table(heading: str | None, table: Schema, root: Schema) -> str:
    table = _resolve(table, root)
    lines = [] if heading is None else [heading, ""]
    if "items" in table:  # of [[compress]]
        lines += ["`method`, the options of that [compression method](#compression-methods), and:", ""]
        own = table["items"]["oneOf"][0]["properties"]
        table = {"properties": {"finetune": own["finetune"]}}
    if text := table.get("description"):
        lines += [text, ""]
    rows = list(_list_rows("", table, root))
    if not rows:
        return "\n".join([*lines, "No options.", ""])
    lines += ["| Key | Type | Default | |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _without_text(table: Schema) -> Schema:
    return {key: value for key, value in table.items() if key != "description"}


def _list_rows(prefix: str, table: Schema, root: Schema) -> Iterator[tuple[str, str, str, str]]:
    required = table.get("required", [])
    for name, field in table.get("properties", {}).items():
        part = _resolve(field, root)
        if part.get("properties"):
            yield from _list_rows(f"{prefix}{name}.", part, root)
            continue
        default = "required" if name in required else _write_default(field)
        yield (f"`{prefix}{name}`", _write_type(field, root), default, _escape(str(field.get("description", ""))))


def _write_default(field: Schema) -> str:
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""


def _write_type(field: Schema, root: Schema) -> str:
    part = _resolve(field, root)
    if "anyOf" in part:
        return " or ".join(_write_type(choice, root) for choice in part["anyOf"])
    if "enum" in part:
        return ", ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    kind = part.get("type")
    if kind == "array":
        items: Schema = part.get("items") or next(iter(part.get("prefixItems", [])), {})
        return f"list of {_write_type(items, root)}" if items else "list"
    names: dict[Any, str] = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "table",
    }
    return names.get(kind, "any") + _write_bounds(part)


def _write_bounds(part: Schema) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {part[key]:g}" for key, sign in words.items() if key in part and part[key] < _BOUND_MAX]
    return f", {', '.join(bounds)}" if bounds else ""


def _resolve(part: Schema, root: Schema) -> Schema:
    if "$ref" not in part:
        return part
    found = root.get("$defs", {}).get(part["$ref"].rpartition("/")[2], {})
    return {**found, **{key: value for key, value in part.items() if key != "$ref"}}


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("[[", "\\[\\[").replace("<", "\\<")

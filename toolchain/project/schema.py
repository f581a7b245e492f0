"""What may stand in a recipe, a target and devices.toml, as JSON Schema: made from the classes that read them.

Options of a data set, a task, a metric, a decoder or a compression method are those of the member that a file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from toolchain.project.agent_members import load_used
from toolchain.project.compress_entry import EntrySection
from toolchain.project.device import Device
from toolchain.project.field_texts import read_field_texts
from toolchain.project.members import list_members, load_member
from toolchain.project.recipe import Recipe
from toolchain.project.seams import DATA_SETS, DECODERS, GATES, METHODS, METRICS, TASKS, Seam
from toolchain.project.target import Target

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def write_recipe_schema() -> Schema:
    """Return the schema of a recipe; members of the project's plugins/ and of installed packages are in it."""
    schema = _describe(Recipe)
    tables = schema["$defs"]
    gates = tables["GatesSection"]["properties"]
    gates.pop("limits")
    gates |= dict(_describe_limits())
    _tie_options(tables["DataSection"], DATA_SETS, name="name", options="options")
    _tie_options(tables["TrainSection"], DATA_SETS, name="data", options="options")
    _tie_options(tables["TaskSection"], TASKS, name="name", options="options")
    _tie_options(
        tables["TaskSection"], METRICS, name="metric", options="metric_options", also=("none",), open_ended=True
    )
    _tie_options(tables["OutputSection"], DECODERS, name="decode", options="options", also=("none",), open_ended=True)
    tables["DataSection"]["properties"]["metric"] |= _name_members(METRICS, ("none",))
    schema["properties"]["compress"]["items"] = _describe_methods()
    return {"$schema": DRAFT, "title": "recipe.toml", **schema}


def write_target_schema() -> Schema:
    """Return the schema of a target."""
    return {"$schema": DRAFT, "title": "targets/NAME.toml", **_describe(Target)}


def write_device_schema() -> Schema:
    """Return the schema of devices.toml."""
    device = _describe(Device)
    definitions = device.pop("$defs", {})
    return {
        "$schema": DRAFT,
        "title": "devices.toml",
        "type": "object",
        "additionalProperties": device,
        **({"$defs": definitions} if definitions else {}),
    }


SCHEMAS = {"recipe": write_recipe_schema, "target": write_target_schema, "device": write_device_schema}


def describe_options(seam: Seam, name: str) -> Schema:
    """Return the schema of a member's options: an object without keys where it has none."""
    travels = seam in (METRICS, DECODERS)
    module = load_used(seam, name) if travels else load_member(list_members(seam)[name])
    options = getattr(module, "Options", None)
    return (
        {"type": "object", "additionalProperties": False, "properties": {}} if options is None else _describe(options)
    )


def _describe_limits() -> Iterator[tuple[str, Schema]]:
    """Yield what gates declare as their own, with what the gate is about."""
    for member in list_members(GATES).values():
        gate = load_member(member)
        for limit in getattr(gate, "LIMITS", ()):
            kind = "integer" if limit.is_whole else "number"
            text = (gate.__doc__ or "").strip().partition("\n")[0]
            yield limit.name, {"type": kind, "minimum": limit.least, "maximum": limit.most, "description": text}


def _describe(table: Any) -> Schema:
    """Return the schema of a class that reads a table, with the docstrings of its fields."""
    schema = TypeAdapter(table).json_schema()
    schema.setdefault("additionalProperties", False)
    known = {each.__name__: each for each in _list_tables(table)}
    for name, part in [(table.__name__, schema), *schema.get("$defs", {}).items()]:
        part.pop("title", None)
        texts = read_field_texts(known[name]) if name in known else {}
        fields = getattr(known.get(name), "model_fields", {})
        names = {each.alias: own for own, each in fields.items() if each.alias is not None}
        for key, property_ in part.get("properties", {}).items():
            property_.pop("title", None)
            _drop_null(property_)
            if (text := texts.get(names.get(key, key))) is not None:
                property_["description"] = text
    return schema


def _drop_null(property_: Schema) -> None:
    """Take the absence of a key out of its values: TOML has no null. Changes the property."""
    choices = [choice for choice in property_.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        property_ |= choices[0]
    elif choices:
        property_["anyOf"] = choices
    if "default" in property_ and property_["default"] is None:
        del property_["default"]


def _list_tables(table: Any) -> Iterator[type]:
    """Yield a class and those that its fields are of, in lists and alternatives too."""
    yield table
    if not (isinstance(table, type) and issubclass(table, BaseModel)):
        return
    waiting = [field.annotation for field in table.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        waiting.extend(getattr(annotation, "__args__", ()))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _list_tables(annotation)


def _name_members(seam: Seam, also: tuple[str, ...] = ()) -> Schema:
    return {"examples": [*list_members(seam), *also]}


def _tie_options(
    table: Schema, seam: Seam, *, name: str, options: str, also: tuple[str, ...] = (), open_ended: bool = False
) -> None:
    """Let a table's options be those of the member that its name names; changes the table.

    open_ended: other names than the members' are right too, such as FILE.py:NAME.
    """
    members = list_members(seam)
    known = {"examples": [*members, *also]} if open_ended else {"enum": [*members, *also]}
    field = table["properties"][name]
    for choice in field.get("anyOf", [field]):
        if choice.get("type") == "string":
            choice.update(known)
    for member in members:
        own = _inline(describe_options(seam, member))
        then: Schema = {"properties": {options: own}}
        if own.get("required"):
            then["required"] = [options]
        condition = {"properties": {name: {"const": member}}, "required": [name]}
        table.setdefault("allOf", []).append({"if": condition, "then": then})


def _describe_methods() -> Schema:
    """Return the schema of an entry of [[compress]]."""
    common = _inline(_describe(EntrySection))["properties"]
    choices = []
    for name in list_members(METHODS):
        schema = _inline(describe_options(METHODS, name))
        schema["properties"] = {"method": {"const": name}, **schema.get("properties", {}), **common}
        schema["required"] = ["method", *schema.get("required", [])]
        choices.append(schema)
    return {"oneOf": choices}


def _inline(schema: Schema) -> Schema:
    """Return a schema without references: parts of it stand inside of another one."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                rest = {key: value for key, value in part.items() if key != "$ref"}
                return {**resolve(definitions[part["$ref"].rpartition("/")[2]]), **resolve(rest)}
            return {key: resolve(value) for key, value in part.items() if key != "$defs"}
        return [resolve(item) for item in part] if isinstance(part, list) else part

    return resolve(schema)  # type: ignore[no-any-return]


def list_option_seams() -> Mapping[str, Seam]:
    """Return the seams whose members have options in a recipe, by what a page calls them."""
    return {
        "Data sets": DATA_SETS,
        "Tasks": TASKS,
        "Metrics": METRICS,
        "Decoders": DECODERS,
        "Compression methods": METHODS,
    }

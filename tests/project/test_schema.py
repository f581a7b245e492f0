"""The schemas and the page of keys are what the code reads: every recipe and target of ours, no key more and none less."""

import json
import tomllib
from pathlib import Path

import pytest

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.device import Device
from toolchain.project.find import list_models, list_targets
from toolchain.project.keys_page import write_keys_page
from toolchain.project.limits import list_limits
from toolchain.project.members import list_members
from toolchain.project.recipe import GatesSection, Recipe
from toolchain.project.schema import (
    describe_options,
    list_option_seams,
    write_device_schema,
    write_recipe_schema,
    write_target_schema,
)
from toolchain.project.seams import DATA_SETS, METHODS, METRICS
from toolchain.project.target import Target

NEW_OPTION = '''
from toolchain.project.toml_file import Section


class Options(Section):
    """Of a data set of a user's."""

    loudness: float = 0.5
    """Of the quietest sample."""


def load(options):
    """Return nothing."""
'''
NEW_METRIC = '''
from dataclasses import dataclass

from ..scale import Scale

SCALE, OUTPUTS, TARGETS = Scale(unit="mm", worst=1e9, best=0.0), ("values",), ("values",)


@dataclass(frozen=True)
class Options:
    loudness: float = 0.5
    """Of the quietest sample."""


def start(options):
    """Return nothing."""
'''
_ROOT = Path(__file__).parents[2]
RECIPE, TARGET, DEVICE = write_recipe_schema(), write_target_schema(), write_device_schema()


def find_problems(value, schema, root, place=""):
    """Return the keys and choices of a document that a schema of ours does not have."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    if value not in schema.get("enum", [schema.get("const", value)]):
        return [place]
    if "oneOf" in schema:
        chosen = [
            choice for choice in schema["oneOf"] if choice["properties"]["method"]["const"] == value.get("method")
        ]
        return find_problems(value, chosen[0], root, place) if chosen else [f"{place}.method"]
    if isinstance(value, dict):
        return find_problems_of_table(value, schema, root, place)
    items = value if isinstance(value, list) and "items" in schema else []
    return [each for item in items for each in find_problems(item, schema["items"], root, f"{place}[]")]


def find_problems_of_table(value, schema, root, place):
    problems = [f"{place}.{key}" for key in schema.get("required", []) if key not in value]
    for key, item in value.items():
        field = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
        if field is False:
            problems.append(f"{place}.{key}")
        elif field is not True:
            problems += find_problems(item, field, root, f"{place}.{key}")
    for rule in schema.get("allOf", []):
        ((key, condition),) = rule["if"]["properties"].items()
        if value.get(key) == condition["const"]:
            problems += find_problems(value, rule["then"], root, place)
    return problems


@pytest.mark.parametrize("path", list_models().values(), ids=list_models().keys())
def test_every_recipe_of_ours_is_as_the_schema_says(path):
    assert find_problems(tomllib.loads(path.read_text()), RECIPE, RECIPE) == []


@pytest.mark.parametrize("path", list_targets().values(), ids=list_targets().keys())
def test_every_target_of_ours_is_as_the_schema_says(path):
    assert find_problems(tomllib.loads(path.read_text()), TARGET, TARGET) == []


WRONG = {
    "an unknown table": ({"modell": {}}, ".modell"),
    "an unknown key": ({"model": {"wieghts": "x"}}, ".model.wieghts"),
    "an unknown data set": ({"data": {"name": "cocoo"}}, ".data.name"),
    "another data set's option": (
        {"data": {"name": "npz", "options": {"path": "x", "folder": "y"}}},
        ".data.options.folder",
    ),
    "options that are missing": ({"data": {"name": "npz"}}, ".data.options"),
    "an option that is missing": ({"data": {"name": "npz", "options": {}}}, ".data.options.path"),
    "another method's option": ({"compress": [{"method": "structured_pruning", "bits": 4}]}, ".compress[].bits"),
    "a gate that there is not": ({"gates": {"latency_p99_ms_max": 1.0}}, ".gates.latency_p99_ms_max"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_reader_refuses_the_schema_refuses(name):
    document, place = WRONG[name]
    assert place in find_problems({"model": {}, "data": {"name": "diabetes"}, **document}, RECIPE, RECIPE)


def test_the_keys_are_those_of_the_classes():
    assert RECIPE["properties"].keys() == Recipe.model_fields.keys()
    assert TARGET["properties"].keys() == {field.alias or name for name, field in Target.model_fields.items()}
    assert DEVICE["additionalProperties"]["properties"].keys() == Device.model_fields.keys()
    gates = (GatesSection.model_fields.keys() - {"limits"}) | list_limits().keys()
    assert RECIPE["$defs"]["GatesSection"]["properties"].keys() == gates
    assert {
        choice["properties"]["method"]["const"] for choice in RECIPE["properties"]["compress"]["items"]["oneOf"]
    } == set(list_members(METHODS))


def test_options_have_their_defaults_and_meanings():
    options = describe_options(DATA_SETS, "npz")["properties"]
    assert options["split"] == {
        "type": "boolean",
        "default": False,
        "description": "Calibrate with one half of the samples and evaluate on the other, where there are 16 or more.",
    }
    assert describe_options(DATA_SETS, "diabetes") == {
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }


def test_toml_has_no_null_and_the_schemas_have_none():
    assert "null" not in json.dumps([RECIPE, TARGET, DEVICE])


def test_the_page_of_keys_is_the_codes():
    """`toolchain schema --page > docs/keys.md` writes it anew."""
    assert (_ROOT / "docs" / "keys.md").read_text() == write_keys_page()


def test_every_member_with_options_is_on_the_page():
    page = write_keys_page()
    for seam in list_option_seams().values():
        for name, member in list_members(seam).items():
            assert not member.is_ours or f"### {name}\n" in page


def test_the_page_that_explains_recipes_shows_every_key():
    """docs/recipe.md has an example of each; [search] has a page of its own."""
    text = (_ROOT / "docs" / "recipe.md").read_text()
    for name, section in RECIPE["properties"].items():
        reference = section.get("$ref") or next(
            (each["$ref"] for each in section.get("anyOf", []) if "$ref" in each), None
        )
        if reference is None or name == "search":
            continue
        keys = RECIPE["$defs"][reference.rpartition("/")[2]]["properties"]
        assert [f"{name}.{key}" for key in keys if f"{key} =" not in text] == []


def test_a_new_option_of_a_data_set_appears_with_its_default(tmp_path, monkeypatch):
    folder = tmp_path / "plugins/data_sets"
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text(NEW_OPTION)
    monkeypatch.chdir(tmp_path)
    assert describe_options(DATA_SETS, "theirs")["properties"] == {
        "loudness": {"type": "number", "default": 0.5, "description": "Of the quietest sample."}
    }
    rules = write_recipe_schema()["$defs"]["DataSection"]["allOf"]
    (own,) = [rule["then"] for rule in rules if rule["if"]["properties"]["name"]["const"] == "theirs"]
    assert own["properties"]["options"]["properties"]["loudness"]["default"] == 0.5


def test_a_metric_of_the_project_is_read_as_boards_import_it(tmp_path, monkeypatch):
    """Its imports are relative to the agent's package: as a file of its own it could not be imported."""
    folder = tmp_path / "plugins/metrics"
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text(NEW_METRIC)
    (folder / "broken.py").write_text(NEW_METRIC.replace("..scale", "..scales"))
    monkeypatch.chdir(tmp_path)
    assert describe_options(METRICS, "theirs")["properties"] == {
        "loudness": {"type": "number", "default": 0.5, "description": "Of the quietest sample."}
    }
    with pytest.raises(ToolchainError) as caught:
        describe_options(METRICS, "broken")
    assert caught.value.code == ExitCode.USAGE
    assert "scales" in str(caught.value.found)


@pytest.mark.parametrize("name", [name for name, member in list_members(DATA_SETS).items() if member.is_ours])
def test_a_data_set_takes_the_options_of_its_schema_and_no_other(name):
    schema = describe_options(DATA_SETS, name)
    values = {"integer": 8, "array": ["a", "b"], "object": {"a": 1}}
    given = {
        option: values.get(schema["properties"][option].get("type"), "none") for option in schema.get("required", [])
    }
    with pytest.raises(ToolchainError) as caught:
        load_dataset(name, {**given, "no_such_option": 1})
    error = caught.value
    assert (error.code, error.where) == (ExitCode.USAGE, "data.options: no_such_option")
    assert error.expected == f"one of {', '.join(schema['properties']) or 'no key at all'}"

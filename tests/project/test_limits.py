import pytest

from toolchain.agent.measure.gates.limit import Limit
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project import limits
from toolchain.project.limits import split_limits
from toolchain.project.recipe import GatesSection, read_recipe

WEIGHT = Limit(name="weight_g_max", least=1, most=1000, is_whole=True)
RECIPE = '[model]\nonnx = "net.onnx"\n[data]\nname = "npz"\nmetric = "none"\n[gates]\n'


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """One gate declares one limit."""
    monkeypatch.setattr(limits, "list_limits", lambda: {WEIGHT.name: WEIGHT})


def read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE + text)
    return read_recipe(path)


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code is ExitCode.USAGE
    return caught.value


def test_a_declared_limit_is_taken_beside_the_recipes_own_gates(tmp_path):
    gates = read(tmp_path, "latency_p90_ms_max = 5.0\nweight_g_max = 20\n").gates
    assert (gates.limits, gates.latency_p90_ms_max) == ({"weight_g_max": 20}, 5.0)


def test_a_recipe_is_written_as_it_is_read(tmp_path):
    document = read(tmp_path, "latency_p90_ms_max = 5.0\nweight_g_max = 20\n").model_dump(exclude_unset=True)
    assert document["gates"] == {"latency_p90_ms_max": 5.0, "weight_g_max": 20}
    assert read(tmp_path, "").model_dump(exclude_unset=True)["gates"] == {}


@pytest.mark.parametrize("value", ["true", "'20'", "0", "1001", "nan", "inf", "2.5", "[20]"])
def test_what_is_no_such_limit_is_refused_with_what_is(tmp_path, value):
    error = refuse(lambda: read(tmp_path, f"weight_g_max = {value}"))
    assert error.where == f"{tmp_path / 'recipe.toml'}: gates.weight_g_max"
    assert error.expected == "a whole number from 1 to 1000"


def test_an_unknown_key_is_refused_with_every_known_one(tmp_path):
    error = refuse(lambda: read(tmp_path, "weight_max = 20"))
    assert "weight_g_max" in error.expected
    assert "metric_drop_max" in error.expected
    assert error.fix == "write weight_g_max"


def test_the_place_where_limits_are_kept_is_no_key_of_a_recipe(tmp_path):
    assert "limits" not in refuse(lambda: read(tmp_path, "limits = { weight_g_max = 20 }")).expected


def test_gates_are_not_looked_at_where_nothing_is_asked_of_them(monkeypatch):
    def refuse_to_look():
        raise AssertionError

    monkeypatch.setattr(limits, "list_limits", refuse_to_look)
    table = {"metric_drop_max": 0.1}
    assert split_limits(table, GatesSection.model_fields, where="recipe.toml") == (table, {})

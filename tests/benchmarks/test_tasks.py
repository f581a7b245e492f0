import json

import pytest

from benchmarks.tasks import MODELS, PAGE, describe_row, find_model, replace_table, take_last, write_table
from toolchain.module.files import identify_files
from toolchain.project.find import find_recipe
from toolchain.stages.compress import find_teacher

REPORT = {
    "verdict": "pass",
    "reasons": [],
    "precision": "int8",
    "metric": {
        "name": "map50",
        "unit": "fraction",
        "direction": "higher",
        "reference": 0.9,
        "deployed": 0.896,
        "drop": 0.004,
        "drop_lower": -0.001,
        "drop_upper": 0.009,
        "samples": 500,
    },
    "parity": [{"output": "grid4", "sqnr_db": 41.5}, {"output": "grid8", "sqnr_db": 40.0}],
    "latency": {"speedup": 2.125, "speedup_low": 2.05, "speedup_high": 2.19},
    "artifact": {"size_bytes": 296879},
    "placement": {"precision_share_macs": {"int8": 0.958, "float32": 0.042}},
}


def write_line(**changes):
    row = json.loads(json.dumps(describe_row("detection", "detector", changes.pop("exit_code", 0), REPORT | changes)))
    return write_table([row]).splitlines()[-1]


def test_a_row_has_the_metric_of_both_the_interval_speed_and_size():
    assert write_line() == (
        "| detection | `detector` | `map50` | 90.00 % | int8 | 89.60 % | 0.40 points (-0.10 points to 0.90 points) "
        "| 95.8 % | 2.12× (2.05 to 2.19) | 296,879 | pass |"
    )


def test_agreement_with_the_float_model_is_called_that():
    assert "| `map50` (agreement) |" in write_line(metric=REPORT["metric"] | {"truth": "float"})


def test_a_model_that_fails_has_its_exit_code_in_its_row():
    assert write_line(verdict="fail", exit_code=24).endswith("| fail (exit 24) |")


def test_what_was_not_measured_is_a_dash():
    line = write_line(latency=None, artifact=None, placement=None, verdict="invalid", exit_code=20)
    assert line.endswith("| – | – | – | invalid (exit 20) |")


def test_the_page_keeps_what_stands_around_its_table():
    page = PAGE.read_text(encoding="utf-8")
    changed = replace_table(page, "| a table |\n")
    assert "| a table |" in changed
    old, new = ([part for part in text.split("<!-- ") if not part.startswith("table:")] for text in (page, changed))
    assert old == new
    assert replace_table(changed, "| a table |\n") == changed


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_the_table_is_there(model, tmp_path):
    recipe, name = find_model(model, tmp_path)
    assert find_recipe(name).name == recipe.name
    assert recipe.metric_name == (model.partition("@")[2] or find_recipe(model).metric_name)


def test_a_model_under_another_metric_is_the_same_in_all_else(tmp_path):
    recipe, other = (
        find_recipe("models/detector/distilled.toml"),
        find_model("models/detector/distilled.toml@map50", tmp_path)[0],
    )
    assert (other.name, other.metric_name, recipe.metric_name) == ("detector-distilled", "map50", "map")
    assert identify_files(other) == identify_files(recipe)
    assert (
        find_teacher(other, other.compress[-1]["teacher"]).path
        == find_teacher(recipe, recipe.compress[-1]["teacher"]).path
    )
    sections = [part.model_dump(exclude={"model", "task", "compress"}) for part in (recipe, other)]
    assert sections[0] == sections[1]


def test_of_several_lines_of_a_model_and_metric_the_last_counts_where_the_first_one_stood():
    rows = [
        {"model": model, "metric": {"name": metric}, "run": number}
        for number, (model, metric) in enumerate(
            [("a", "map"), ("b", "top1"), ("a", "map50"), ("b", "top1"), ("a", "map")]
        )
    ]
    assert [row["run"] for row in take_last(rows)] == [4, 2, 3]

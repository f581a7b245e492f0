import json

import pytest

from benchmarks.tasks import MODELS, PAGE, describe_row, replace_table, write_table
from toolchain.project.find import find_recipe

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
def test_every_model_of_the_table_is_there(model):
    assert find_recipe(model).task.name

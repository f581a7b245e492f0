"""What ships of ours beside the other quantizers, and the row that says it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.elsewhere import quantize_elsewhere
from benchmarks.peers.rows import fill_row
from benchmarks.peers.shipping import Candidate, choose_shipped
from benchmarks.peers.table import order_rows, write_table
from toolchain.agent.measure.latency import Measurement

ORT8, OV8, ORT32, OV32 = CANDIDATES = tuple(
    Candidate(precision=precision, runtime=runtime)
    for precision in ("int8", "float32")
    for runtime in ("onnxruntime", "openvino")
)
TOLD = {"drop": 0.001, "speedup": 2.0, "speedup_99": [1.9, 2.1]}


def time_all(**times_ns):
    """Return a measurement of candidates and of NNCF in which every run of one takes as long."""
    names = {**{key: globals()[key].name for key in times_ns if key != "nncf"}, "nncf": "nncf"}
    blocks = {names[key]: [[time_ns] * 4] * 40 for key, time_ns in times_ns.items()}
    return Measurement(blocks_ns=blocks, steady=dict.fromkeys(blocks, True))


@pytest.mark.parametrize(
    ("times_ns", "rejected", "shipped"),
    [
        ({"ORT8": 1000, "OV8": 500, "ORT32": 2000, "OV32": 2000}, (), OV8),  # the faster runtime
        ({"ORT8": 1000, "OV8": 1000, "ORT32": 2000, "OV32": 2000}, (), ORT8),  # the first of two alike
        ({"ORT8": 1000, "OV8": 500, "ORT32": 2000, "OV32": 2000}, (OV8,), ORT8),  # the faster one is wrong
        ({"ORT8": 1000, "OV8": 900, "ORT32": 2000, "OV32": 700}, (), OV32),  # int8 of neither beats float
        ({"ORT8": 1000, "OV8": 600, "ORT32": 2000, "OV32": 700}, (), OV8),  # only the second one beats float
        ({"ORT8": 1000, "OV8": 500, "ORT32": 2000, "OV32": 2000}, (ORT8, OV8), ORT32),
    ],
)
def test_the_fastest_that_keeps_the_gate_ships_in_the_first_precision_that_pays(times_ns, rejected, shipped):
    assert choose_shipped(CANDIDATES, time_all(**times_ns), rejected=rejected) == shipped


def test_nothing_ships_where_all_lose_too_much():
    times_ns = dict.fromkeys(("ORT8", "OV8", "ORT32", "OV32"), 1000)
    assert choose_shipped(CANDIDATES, time_all(**times_ns), rejected=CANDIDATES) is None


def fill(drop_max=0.005, **changes):
    found = {one.name: {**TOLD, "drop": 0.0} for one in (ORT32, OV32)}
    found |= dict.fromkeys((ORT8.name, OV8.name, "quantize_static", "nncf"), TOLD)
    measurement = time_all(ORT8=1000, OV8=500, ORT32=2000, OV32=2000, nncf=750)
    return fill_row(CANDIDATES, found | changes, measurement, drop_max=drop_max)


def test_each_runtime_has_its_own_best_and_the_row_says_which_of_both_ships():
    row = fill()
    assert [row[f"ours_{runtime}"]["precision"] for runtime in ("onnxruntime", "openvino")] == ["int8", "int8"]
    assert (row["ships"]["precision"], row["ships"]["runtime"]) == ("int8", "openvino")
    assert row["ships"]["over_nncf"][0] == pytest.approx(1.5)


def test_a_candidate_that_loses_more_than_the_gate_does_not_ship():
    row = fill(**{OV8.name: {**TOLD, "drop": 0.006}})
    assert (row["ships"]["precision"], row["ships"]["runtime"]) == ("int8", "onnxruntime")
    assert row["ours_openvino"]["precision"] == "float32"
    assert row["candidates"][OV8.name]["drop"] == 0.006


def test_a_drop_of_exactly_the_gate_ships():
    assert fill(drop_max=0.3, **{OV8.name: {**TOLD, "drop": 0.1 + 0.2}})["ships"]["runtime"] == "openvino"


def test_a_candidate_that_does_not_run_leaves_the_other_runtime():
    row = fill(**{OV8.name: {"error": "exit 12"}, OV32.name: {"error": "exit 12"}})
    assert row["ships"]["runtime"] == "onnxruntime"
    assert "error" in row["ours_openvino"]


def test_nothing_is_held_against_a_tool_that_does_not_run():
    assert "over_nncf" not in fill(nncf={"error": "no"})["ships"]


def test_the_table_says_what_is_in_which_precision_what_ships_and_what_does_not_run():
    row = {"model": "net", "metric": "top1", "unit": "fraction", "float": 0.9, **fill(nncf={"error": "no"})}
    row["ours_onnxruntime"] = {**TOLD, "precision": "float32", "drop": 0.0}
    row["candidates"][OV32.name] = {**TOLD, "speedup": 1.2, "speedup_99": [1.1, 1.3]}
    assert write_table([row]).splitlines()[2] == (
        "| `net` | `top1` | 90.00 % | 1.20× (1.10 to 1.30) | 0.00 points (float32) | 2.00× (1.90 to 2.10) "
        "| 0.10 points | 2.00× (1.90 to 2.10) | 0.10 points | 2.00× (1.90 to 2.10) | does not run | – | int8, OpenVINO |"
    )


def test_a_tool_runs_elsewhere_on_the_feeds_by_number_and_leaves_nothing_where_it_was_asked(tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, numpy\nopen('left_behind', 'w')\n"
        "model, calibration, target = sys.argv[1:]\n"
        "open(target, 'w').write(open(model).read() + str({key: int(a) for key, a in numpy.load(calibration).items()}))\n"
    )
    (tmp_path / "asked").mkdir()
    monkeypatch.chdir(tmp_path / "asked")
    Path("net.onnx").write_text("net ")
    feeds = [{"x": np.array(3)}, {"x": np.array(4)}]
    quantize_elsewhere(Path(sys.executable), script, Path("net.onnx"), feeds, Path("int8.onnx"))
    assert Path("int8.onnx").read_text() == "net {'0/x': 3, '1/x': 4}"
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["int8.onnx", "net.onnx"]


def test_the_last_row_of_a_model_counts_in_the_order_of_the_table_whatever_came_first():
    rows = [{"model": model, "run": run} for run, model in enumerate(["c", "own", "a", "c"])]
    assert [row["run"] for row in order_rows(rows, ("a", "b", "c"))] == [2, 3, 1]

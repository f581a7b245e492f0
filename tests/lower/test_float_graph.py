"""Which float graph ships, with the time in the test's hands."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model
from toolchain.agent.measure.quantiles import Ratio
from toolchain.lower.float_graph import bind_comparison, choose_float_graph

THEIRS = parse_model(
    '<ir_version: 10, opset_import: ["": 21]> net (float[n, 4] x) => (float[n, 4] y) { [r] a = Relu(x) [i] y = Identity(a) }'
)
OURS = parse_model(
    '<ir_version: 10, opset_import: ["": 21]> net (float[n, 4] x) => (float[n, 4] y) { [r] y = Relu(x) }'
)
SLOWER = Ratio(ratio=1.5, low=1.4, high=1.6)
LIKE = Ratio(ratio=1.02, low=0.98, high=1.06)


def compare_as(*ratios):
    """Return a comparison that finds these ratios, one after the other, and no more of them."""
    left = list(ratios)

    def compare(_ours, _theirs):
        return left.pop(0)

    compare.left = left
    return compare


def pad(model, size_bytes):
    padded = onnx.ModelProto()
    padded.CopyFrom(model)
    padded.graph.initializer.append(numpy_helper.from_array(np.zeros(size_bytes, np.uint8), "padding"))
    return padded


def test_a_graph_that_is_not_slower_is_kept():
    choice = choose_float_graph(OURS, THEIRS, compare_as(LIKE))
    assert choice.model is OURS
    assert choice.describe() == {"kept": True, "reason": None}


def test_a_graph_that_is_surely_slower_twice_gives_way_to_the_users():
    choice = choose_float_graph(OURS, THEIRS, compare_as(SLOWER, SLOWER))
    assert choice.model is THEIRS
    assert choice.describe() == {
        "kept": False,
        "reason": "the user's graph is 1.50 times as fast here as the optimized one",
    }


def test_one_slow_stretch_of_time_decides_nothing():
    assert choose_float_graph(OURS, THEIRS, compare_as(SLOWER, LIKE)).model is OURS


@pytest.mark.parametrize("compare_speed", [None, compare_as()])
def test_a_larger_graph_gives_way_whatever_its_speed(compare_speed):
    choice = choose_float_graph(pad(OURS, 10_000), THEIRS, compare_speed)
    assert choice.model is THEIRS
    assert "larger" in choice.reason


def test_names_of_nodes_do_not_make_a_graph_larger():
    assert choose_float_graph(pad(OURS, 1000), THEIRS, None).reason is None


def test_nothing_is_measured_where_no_pass_acted():
    assert choose_float_graph(THEIRS, pad(THEIRS, 10), compare_as()).model is THEIRS


def test_the_comparison_runs_both_models(monkeypatch):
    seen = []

    def measure(runs, **_options):
        seen.extend((name, run()["y"].tolist()) for name, run in runs.items())

        class Found:
            def compare(self, slower, faster):
                return slower, faster

        return Found()

    monkeypatch.setattr("toolchain.lower.float_graph.measure_latency", measure)
    feed = {"x": np.array([[-1, 0, 1, 2]], np.float32)}
    assert bind_comparison(feed, "onnxruntime", threads=1)(OURS, THEIRS) == ("s", "f")
    assert seen == [("s", [[0, 0, 1, 2]]), ("f", [[0, 0, 1, 2]])]

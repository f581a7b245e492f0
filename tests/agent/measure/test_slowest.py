"""Latency is that of a sample that takes long, and where all take alike, of the first."""

from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.agent.measure.latency import Stopwatch
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.slowest import find_slowest


class Machine:
    """Runs that take what they are told to, in ns, and a clock that they move."""

    def __init__(self, taken_ns):
        self.now_ns, self.runs = 0, 0
        self._taken_ns = taken_ns

    def bind(self, sample):
        def run():
            self.runs += 1
            self.now_ns += self._taken_ns(sample, self.runs)

        return run

    def find(self, samples):
        return find_slowest(self.bind, samples, make_watch=lambda: Stopwatch(lambda: self.now_ns))


MS = 1_000_000


@pytest.mark.parametrize(
    ("taken_ms", "found"),
    [
        ({}, 0),
        ({5: 1.05}, 0),
        ({5: 1.2}, 5),
        ({5: 1.2, 30: 2.0, 31: 1.9}, 30),
        ({0: 3.0}, 0),
        ({63: 9.0}, 63),
        ({64: 9.0}, 0),
    ],
)
def test_the_slowest_of_the_first_samples_is_found_and_otherwise_it_is_the_first(taken_ms, found):
    assert Machine(lambda sample, _: int(taken_ms.get(sample, 1.0) * MS)).find(range(200)) == found


def test_one_run_that_something_else_slowed_down_is_not_the_slowest_sample():
    assert Machine(lambda sample, runs: (50 if runs == 9 else 1) * MS).find(range(64)) == 0


def test_a_first_sample_that_was_slowed_down_once_hides_no_other():
    machine = Machine(lambda sample, runs: 50 * MS if runs == 2 else (2 if sample == 7 else 1) * MS)
    assert machine.find(range(64)) == 7


def test_of_runs_of_microseconds_a_tenth_says_nothing():
    assert Machine(lambda sample, _: 5_000 + 1_000 * (sample == 3)).find(range(64)) == 0
    assert Machine(lambda sample, _: 5_000 + 50_000 * (sample == 3)).find(range(64)) == 3


def test_a_model_of_seconds_is_looked_at_few_times_and_a_single_sample_is_enough():
    slow = Machine(lambda sample, _: 2000 * MS * (1 + (sample == 3)))
    assert slow.find(range(64)) == 3
    assert slow.runs == 1 + 1 + 7 + 2
    assert Machine(lambda *_: MS).find([0]) == 0


def test_the_samples_of_a_batch_are_named_by_their_first():
    assert Machine(lambda sample, _: (3 if sample == 8 else 1) * MS).find(range(0, 64, 4)) == 8


def make_counting_model():
    """A loop that goes round as often as its input says."""
    info = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", TensorProto.INT64), ("go", TensorProto.BOOL))
    ]
    held = helper.make_tensor_value_info("held", TensorProto.FLOAT, [32, 32])
    out = helper.make_tensor_value_info("next", TensorProto.FLOAT, [32, 32])
    goes = helper.make_tensor_value_info("goes", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("MatMul", ["held", "w"], ["next"])],
        "body",
        [*info, held],
        [goes, out],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "one"], ["count"]),
            helper.make_node("Cast", ["count"], ["times"], to=TensorProto.INT64),
            helper.make_node("Squeeze", ["times"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "", "start"], ["y"], body=body),
        ],
        "counting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [32, 32])],
        [
            numpy_helper.from_array(np.eye(32, dtype=np.float32), "w"),
            numpy_helper.from_array(np.eye(32, dtype=np.float32), "start"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def test_a_loop_that_the_first_sample_does_not_enter_is_timed_on_one_that_does(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(make_counting_model(), path)
    inputs = np.zeros((16, 1), np.float32)
    inputs[11] = 3000
    with closing(open_session("onnxruntime", path, 1)) as session:
        found = find_slowest(lambda start: lambda: session.run({"x": inputs[start : start + 1]}), range(16))
    assert found == 11

"""What the search for slow layers decides, with the time in the test's hands."""

import pytest

from toolchain.agent.latency import Measurement
from toolchain.lower import speed
from toolchain.lower.onnxruntime import plan_int8
from toolchain.lower.search import LayerTime

LAYERS = ("conv1", "conv2", "gemm")
TIMES = {name: LayerTime(int8_us=1.0, float_us=2.0) for name in LAYERS} | {"conv1": LayerTime(30.0, 10.0)}


@pytest.fixture
def search(bench, residual, monkeypatch):
    """Return what runs the search; each stretch of time says how many ns a run takes without and with float layers."""

    def run(*stretches):
        left = list(stretches)

        def measure(runs, **_options):
            plain_ns, float_ns = left.pop(0)
            blocks = {name: [[float_ns if name else plain_ns]] * 30 for name in runs}
            return Measurement(blocks_ns=blocks, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(speed, "measure_latency", measure)
        reasons, trials = speed.find_slow_layers(
            bench, plan_int8(residual), frozenset(), TIMES, threads=1, on_step=lambda: None
        )
        assert left == []
        return reasons, trials

    return run


def test_layers_that_win_twice_stay_in_float_and_the_second_time_is_what_is_said(search):
    reasons, trials = search((3000, 1000), (3000, 2000))
    assert reasons == {
        "conv1": "30 us in int8, 10 us in float; the model is 1.50 times as fast with this layer in float"
    }
    assert [(trial.layers, trial.confirms) for trial in trials] == [
        (("conv1",), False),
        (LAYERS, False),
        (("conv1",), True),
    ]


def test_layers_that_win_in_one_stretch_of_time_only_are_int8(search):
    reasons, trials = search((3000, 1000), (3000, 3000))
    assert reasons == {}
    assert [trial.faster for trial in trials] == [True, True, False]


def test_what_does_not_win_is_not_measured_again(search):
    reasons, trials = search((3000, 3010))
    assert reasons == {}
    assert [trial.confirms for trial in trials] == [False, False]

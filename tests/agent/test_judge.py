"""The gates, one by one, and the order of their reasons. (The file is not called test_gates: the report has one.)"""

import dataclasses

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.gates import DEFAULT_SQNR_DB_MIN, Evidence, MetricResult, find_sqnr_db_min, judge_candidate
from toolchain.agent.manifest import PRECISIONS, Gates
from toolchain.agent.parity import OutputParity
from toolchain.agent.placement import Layer, Placement
from toolchain.agent.quantiles import Ratio, summarize_latency

NO_GATES = Gates(metric_drop_max=None, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)
STRICT = Gates(metric_drop_max=0.005, sqnr_db_min={"int8": 25.0}, int8_share_min=0.9, latency_p90_ms_max=2.0)
FASTER = Ratio(ratio=2.0, low=1.9, high=2.1)
LEVEL = Ratio(ratio=1.0, low=0.95, high=1.05)
LUCKY = Ratio(ratio=1.006, low=1.004, high=1.008)
NOISE = Ratio(ratio=1.5, low=1.0, high=2.0)
UNKNOWN = Ratio(ratio=None, low=None, high=None)


def make_parity(sqnr_db=30.0, nonfinite=0):
    return OutputParity(output="y", max_abs=0.1, p99_abs=0.1, cosine=0.99, sqnr_db=sqnr_db, nonfinite=nonfinite)


def make_metric(drop):
    return MetricResult(name="top1", reference=0.925, deployed=0.925 - drop, drop=0.925 - (0.925 - drop), samples=1000)


def make_placement(int8, float32=0, *, uncounted=False):
    layers = [Layer(name="a", op="QLinearConv", precision="int8", macs=int8)]
    layers += [Layer(name="b", op="Conv", precision="float32", macs=float32)]
    layers += [Layer(name="c", op="Einsum", precision="float32", macs=None)] if uncounted else []
    return Placement(layers=tuple(layers))


def make_evidence(**changes):
    good = Evidence(
        precision="int8",
        next_precision="float32",
        mismatch=None,
        parity=(make_parity(),),
        metric=make_metric(0.001),
        placement=make_placement(95, 5),
        latency=summarize_latency([1.0] * 100, steady=True),
        over_reference=FASTER,
        over_next=FASTER,
    )
    return dataclasses.replace(good, **changes)


def judge(gates=STRICT, *, emulated=False, **changes):
    return judge_candidate(make_evidence(**changes), gates, emulated=emulated)


def list_codes(failures):
    return [code for code, _ in failures]


def test_a_candidate_that_reaches_every_gate_can_be_shipped():
    assert judge() == []


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"parity": (make_parity(24.9),)}, ExitCode.PARITY, "24.9 dB"),
        ({"parity": (make_parity(), make_parity(nonfinite=3))}, ExitCode.PARITY, "3 values"),
        ({"mismatch": "an output is missing", "parity": ()}, ExitCode.PARITY, "missing"),
        ({"metric": make_metric(0.0051)}, ExitCode.METRIC, "0.51 points"),
        ({"placement": make_placement(89, 11)}, ExitCode.LATENCY, "89.0 %"),
        ({"placement": make_placement(95, 5, uncounted=True)}, ExitCode.LATENCY, "Einsum"),
        ({"placement": make_placement(0)}, ExitCode.LATENCY, "no layer"),
        ({"latency": summarize_latency([1.0] * 90 + [2.1] * 10, steady=True)}, ExitCode.LATENCY, "p90"),
        ({"latency": summarize_latency([1.0] * 63, steady=True)}, ExitCode.INVALID, "64"),
        ({"over_next": LEVEL}, ExitCode.LATENCY, "not faster than float32"),
        ({"over_next": LUCKY}, ExitCode.LATENCY, "not faster than float32"),
        ({"over_next": NOISE}, ExitCode.INVALID, "scatter"),
        ({"over_reference": NOISE}, ExitCode.INVALID, "scatter"),
        ({"over_reference": UNKNOWN}, ExitCode.INVALID, "scatter"),
    ],
)
def test_a_gate_that_is_missed_is_the_reason(changes, code, word):
    failures = judge(**changes)
    assert list_codes(failures) == [code]
    assert word in failures[0][1]


def test_what_is_not_gated_is_not_a_reason():
    changes = {
        "metric": make_metric(0.9),
        "placement": make_placement(0, 100),
        "latency": summarize_latency([9.0] * 20, steady=False),
    }
    assert judge(NO_GATES, **changes) == []


def test_a_drop_of_exactly_the_limit_passes_in_spite_of_rounding():
    metric = make_metric(0.005)
    assert metric.drop > 0.005
    assert judge(metric=metric) == []


def test_a_better_metric_passes():
    assert judge(metric=make_metric(-0.01)) == []


def test_p90_is_gated_by_its_upper_bound():
    latency = summarize_latency([1.0] * 92 + [3.0] * 8, steady=True)
    assert latency.p90_ms < 2.0 < latency.p90_upper_ms
    assert list_codes(judge(latency=latency)) == [ExitCode.LATENCY]


def test_the_share_of_int8_is_no_gate_for_float():
    assert judge(precision="float32", parity=(make_parity(100.0),), placement=make_placement(0, 100)) == []


def test_the_last_candidate_need_not_be_faster_than_anything():
    assert judge(next_precision=None, over_next=None, over_reference=LEVEL) == []


def test_reasons_come_in_the_order_parity_metric_latency():
    failures = judge(parity=(make_parity(3.0),), metric=make_metric(0.1), placement=make_placement(1, 99))
    assert list_codes(failures) == [ExitCode.PARITY, ExitCode.METRIC, ExitCode.LATENCY]


def test_a_worthless_measurement_does_not_hide_what_failed():
    assert list_codes(judge(parity=(make_parity(3.0),), over_reference=UNKNOWN)) == [ExitCode.PARITY]


def test_a_worthless_measurement_is_no_ground_to_call_it_slow():
    assert list_codes(judge(over_next=NOISE, over_reference=NOISE)) == [ExitCode.INVALID]


def test_latency_decides_nothing_on_an_emulated_board():
    changes = {"latency": summarize_latency([], steady=False), "over_reference": UNKNOWN, "over_next": UNKNOWN}
    assert judge(emulated=True, **changes) == []
    assert list_codes(judge(emulated=True, metric=make_metric(0.1), **changes)) == [ExitCode.METRIC]


def test_every_precision_has_a_default_gate_and_the_recipe_may_set_another():
    assert set(DEFAULT_SQNR_DB_MIN) == set(PRECISIONS)
    assert find_sqnr_db_min(NO_GATES, "int8") == 20.0
    assert find_sqnr_db_min(STRICT, "int8") == 25.0
    with pytest.raises(ToolchainError):
        find_sqnr_db_min(NO_GATES, "int4")


def test_a_board_that_throttled_itself_makes_the_measurement_worthless():
    (code, reason), *rest = judge(throttled=True)
    assert code == ExitCode.INVALID
    assert "throttled" in reason
    assert rest == []


@pytest.mark.parametrize("throttled", [False, None])
def test_a_board_that_did_not_throttle_or_does_not_tell_is_judged_as_it_ran(throttled):
    assert judge(throttled=throttled) == []


def test_on_an_emulated_board_throttling_means_nothing():
    assert judge(throttled=True, emulated=True) == []

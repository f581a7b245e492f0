"""The gates, one by one, the order of their reasons, and which candidate is shipped."""

import dataclasses

import numpy as np
import pytest

from tests.made_record import (
    FASTER,
    LEVEL,
    LUCKY,
    NO_GATES,
    NO_METRIC,
    NOISE,
    STRICT,
    UNKNOWN,
    make_candidate,
    make_drift,
    make_evaluation,
    make_facts,
    make_footprint,
    make_fresh_run,
    make_manifest,
    make_metric,
    make_parity,
    make_placement,
    make_record,
    make_varying,
)
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import PRECISIONS, Gates, TensorSpec
from toolchain.agent.measure.drift import Drift
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN, find_sqnr_db_min
from toolchain.agent.measure.judge import judge_record
from toolchain.agent.measure.quantiles import Ratio, summarize_latency
from toolchain.agent.measure.validity import Validity

TWO_OUTPUTS = tuple(TensorSpec(name=name, dtype="float32", shape=(None, 4)) for name in ("y", "z"))
TWO_PARITIES = (make_parity(), make_parity(output="z"))
UNLABELLED = {"metric": NO_METRIC, "gates": NO_GATES}


def judge(gates=STRICT, *, manifest=None, record=None, **changes):
    """Return the rows of a candidate in int8 that is good but for the changes; what is measured of outputs is nested."""
    evaluated = {name: changes.pop(name) for name in ("mismatch", "parity", "drift", "metric") if name in changes}
    candidate = make_candidate(evaluation=make_evaluation(**evaluated), **changes)
    made = make_record(candidates=(candidate, make_candidate("float32")), **(record or {}))
    return judge_record(made, make_manifest(**{"gates": gates, **(manifest or {})})).candidates[0].rows


def list_failures(rows):
    return [row for row in rows if row.status in ("failed", "invalid")]


def list_codes(rows):
    return [row.code for row in list_failures(rows)]


def find_row(rows, name):
    (row,) = [row for row in rows if row.name == name]
    return row


def test_a_candidate_that_reaches_every_gate_can_be_shipped():
    assert list_failures(judge()) == []


def test_every_gate_is_a_row_with_what_was_measured_and_required():
    rows = judge()
    assert [row.name for row in rows] == [
        *("outputs", "parity y", "metric", "drift y", "agreement y", "precision", "placement", "size"),
        *("memory", "measurement", "throttling", "speed", "latency", "start"),
    ]
    assert all(row.measured and row.required for row in rows)


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"parity": (make_parity(24.9),)}, ExitCode.PARITY, "24.9 dB"),
        ({"parity": (make_parity(float("nan")),)}, ExitCode.PARITY, "nan dB"),
        ({"parity": (make_parity(nonfinite=3),)}, ExitCode.PARITY, "3 values"),
        ({"parity": ()}, ExitCode.PARITY, "parity was measured of the outputs none"),
        ({"drift": ()}, ExitCode.PARITY, "drift was measured of the outputs none"),
        ({"mismatch": "an output is missing", "parity": (), "drift": ()}, ExitCode.PARITY, "missing"),
        ({"metric": make_metric(0.0051)}, ExitCode.METRIC, "0.51 points"),
        ({"metric": None}, ExitCode.METRIC, "was not measured"),
        ({"placement": make_placement(89, 11)}, ExitCode.LATENCY, "89.0 %"),
        ({"placement": make_placement(95, 5, uncounted=True)}, ExitCode.LATENCY, "Einsum"),
        ({"placement": make_placement(0)}, ExitCode.LATENCY, "no layer"),
        ({"latency": summarize_latency([1.0] * 90 + [2.1] * 10, steady=True)}, ExitCode.LATENCY, "p90"),
        ({"latency": summarize_latency([1.0] * 63, steady=True)}, ExitCode.INVALID, "64"),
        ({"over_later": {"float32": LEVEL}}, ExitCode.LATENCY, "not faster than float32"),
        ({"over_later": {"float32": LUCKY}}, ExitCode.LATENCY, "not faster than float32"),
        ({"over_reference": UNKNOWN}, ExitCode.INVALID, "too few"),
        ({"record": {"validity": Validity(problems=("the clock stepped",))}}, ExitCode.INVALID, "the clock stepped"),
        ({"record": {"throttled": True}}, ExitCode.INVALID, "throttled"),
    ],
)
def test_a_gate_that_is_missed_is_the_reason(changes, code, word):
    rows = judge(**changes)
    assert list_codes(rows) == [code]
    assert word in list_failures(rows)[0].reason


@pytest.mark.parametrize(("limit_bytes", "status"), [(101_873, "passed"), (101_872, "failed")])
def test_an_artifact_may_be_as_large_as_its_limit_and_no_larger(limit_bytes, status):
    row = find_row(judge(dataclasses.replace(STRICT, limits={"size_bytes_max": float(limit_bytes)})), "size")
    assert (row.status, row.code) == (status, ExitCode.LATENCY if status == "failed" else 0)
    assert (row.measured, row.required) == ("101,873 bytes", f"≤ {limit_bytes:,} bytes")


def test_without_a_limit_the_size_is_told_and_not_gated():
    row = find_row(judge(), "size")
    assert (row.status, row.measured) == ("skipped", "101,873 bytes")


def judge_takes(limits, *, footprint=None, **changes):
    footprint = make_footprint() if footprint is None else footprint
    return judge(dataclasses.replace(STRICT, limits=limits), footprint=footprint, **changes)


@pytest.mark.parametrize(
    ("name", "limits", "status"),
    [
        ("memory", {"memory_peak_mb_max": 80.0}, "passed"),
        ("memory", {"memory_peak_mb_max": 79.9}, "failed"),
        ("start", {"start_ms_max": 106.0}, "passed"),
        ("start", {"start_ms_max": 105.9}, "failed"),  # of the longest, although the median is 103
    ],
)
def test_what_a_process_takes_may_be_as_much_as_its_limit_and_no_more(name, limits, status):
    row = find_row(judge_takes(limits), name)
    assert (row.status, row.code) == (status, ExitCode.LATENCY if status == "failed" else 0)


def test_without_a_limit_memory_and_start_are_told_and_not_gated():
    rows = judge_takes({})
    assert (find_row(rows, "memory").status, find_row(rows, "memory").measured) == (
        "skipped",
        "60.0 MB at batch 1, 80.0 MB at 64",
    )
    assert (find_row(rows, "start").status, find_row(rows, "start").measured) == (
        "skipped",
        "103 ms, at most 106 ms in 7",
    )


GPU = {"devices": {"onnxruntime": make_facts(accelerator="sm_87")}}
LIMITS = {"memory_peak_mb_max": 1000.0, "start_ms_max": 3_600_000.0}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("memory", {"footprint": None}, "it was not measured"),
        ("memory", {"footprint": make_footprint(runs=())}, "it was not measured"),
        ("memory", {"footprint": make_footprint(failure="killed by SIGKILL")}, "killed by SIGKILL"),
        ("memory", {"footprint": make_footprint(runs=(make_fresh_run(unknown=("no VmHWM",)),))}, "no VmHWM"),
        (
            "memory",
            {"footprint": make_footprint(runs=(make_fresh_run(largest_peak_bytes=None),))},
            "no process told it",
        ),
        ("memory", {"record": GPU}, "does not tell what a process holds of the memory of sm_87"),
        ("memory", {"limits": {**LIMITS, "memory_batch_max": 32.0}}, "of 64 samples at once, not of 32"),
        ("memory", {"footprint": make_footprint(largest_batch=1)}, "of 1 samples at once, not of 64"),
        ("start", {"footprint": None}, "it was not measured"),
        ("start", {"footprint": make_footprint(runs=())}, "no process was started"),
        ("start", {"footprint": make_footprint(failure="killed by SIGKILL")}, "killed by SIGKILL"),
    ],
)
def test_what_was_asked_for_and_cannot_be_read_fails(name, changes, words):
    limits = changes.get("limits", LIMITS)
    footprint = changes.get("footprint", make_footprint())
    rows = judge(dataclasses.replace(STRICT, limits=limits), footprint=footprint, record=changes.get("record"))
    if name == "start":  # memory is judged before it, and what fails there leaves nothing to be timed
        rows = judge(dataclasses.replace(STRICT, limits={"start_ms_max": limits["start_ms_max"]}), footprint=footprint)
    row = find_row(rows, name)
    assert (row.status, row.code) == ("failed", ExitCode.LATENCY)
    assert "cannot be read" in row.reason
    assert words in row.reason


def test_a_payload_of_a_fixed_batch_is_judged_by_that():
    inputs = (TensorSpec(name="x", dtype="float32", shape=(1, 3, 8, 8)),)
    rows = judge_takes(
        {"memory_peak_mb_max": 80.0}, footprint=make_footprint(largest_batch=1), manifest={"inputs": inputs}
    )
    assert find_row(rows, "memory").status == "passed"


def test_starts_that_are_too_few_or_were_disturbed_prove_no_failure_and_no_success():
    few = make_footprint(runs=(make_fresh_run(),) * 7)
    assert find_row(judge_takes({"start_ms_max": 1000.0}, footprint=few), "start").code == ExitCode.INVALID
    busy = make_footprint(runs=(make_fresh_run(waited_ms=50.0),) * 8)
    assert find_row(judge_takes({"start_ms_max": 99.0}, footprint=busy), "start").code == ExitCode.INVALID
    assert find_row(judge_takes({"start_ms_max": 100.0}, footprint=busy), "start").status == "passed"


@pytest.mark.parametrize("name", ["memory_peak_mb_max", "memory_batch_max", "start_ms_max"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, 1e12])
def test_a_limit_that_nothing_could_miss_or_reach_is_refused(name, value):
    with pytest.raises(ToolchainError, match=name) as caught:
        judge_takes({name: value})
    assert caught.value.code is ExitCode.MALFORMED


def test_on_an_emulated_board_memory_is_judged_and_the_start_is_not():
    one = make_footprint(runs=(make_fresh_run(),))
    rows = judge_takes({"memory_peak_mb_max": 79.0, "start_ms_max": 1.0}, footprint=one, manifest={"emulated": True})
    assert (find_row(rows, "memory").status, find_row(rows, "start").status) == ("failed", "skipped")


def test_a_limit_that_no_gate_judges_is_refused():
    with pytest.raises(ToolchainError, match="weight_g_max") as caught:
        judge(dataclasses.replace(STRICT, limits={"weight_g_max": 20.0}))
    assert caught.value.code is ExitCode.MALFORMED


def test_samples_that_were_not_run_are_not_proven():
    candidate = make_candidate(evaluation=make_evaluation(samples=999))
    judged = judge_record(make_record(candidates=(candidate, make_candidate("float32"))), make_manifest())
    assert "999 samples were run, not the 1000" in judged.reasons[0]


def test_what_has_no_limit_is_not_a_reason():
    changes = {
        "placement": make_placement(1, 99),
        "latency": summarize_latency([9.0] * 20, steady=False),
    }
    assert list_failures(judge(NO_GATES, **changes)) == []


def test_without_a_limit_the_metric_may_drop_by_a_point_and_no_more():
    row = find_row(judge(NO_GATES, metric=make_metric(0.0101)), "metric")
    assert (row.status, row.code, row.required) == ("failed", ExitCode.METRIC, "≤ 1.00 points (default)")
    assert find_row(judge(NO_GATES, metric=make_metric(0.0099)), "metric").status == "passed"
    loose = dataclasses.replace(NO_GATES, metric_drop_max=0.2)
    assert find_row(judge(loose, metric=make_metric(0.1)), "metric").status == "passed"


def test_of_the_float_models_own_answers_nine_of_ten_stay_and_every_row_says_that_it_is_agreement():
    spec = dataclasses.replace(make_manifest().metric, truth="float")
    for drop, status, text in ((0.099, "passed", "measured"), (0.101, "failed", "reason")):
        row = find_row(judge(NO_GATES, manifest={"metric": spec}, metric=make_metric(drop)), "metric")
        assert (row.status, row.required) == (status, "≤ 10.00 points (default)")
        assert getattr(row, text).startswith("agreement with float: top1 ")


def test_the_reference_of_the_metric_is_the_manifests_whatever_the_board_says_of_it():
    lied = dataclasses.replace(make_metric(0.5), reference=0.425, drop=0.0)
    assert list_codes(judge(metric=lied)) == [ExitCode.METRIC]


def test_a_drop_of_exactly_the_limit_passes_in_spite_of_rounding():
    metric = make_metric(0.005)
    assert metric.drop > 0.005
    assert list_failures(judge(metric=metric)) == []


def test_a_better_metric_passes():
    assert list_failures(judge(metric=make_metric(-0.01))) == []


@pytest.mark.parametrize(
    ("drift", "word"),
    [
        (make_drift(19.9), "19.9 dB"),
        (make_drift(float("nan")), "nan dB"),
        (make_drift(nonfinite=2), "2 values"),
        (make_drift(agreement=0.89), "89.00 % of the answers"),
    ],
)
def test_without_a_metric_drift_from_the_users_model_is_gated_by_default(drift, word):
    rows = judge(manifest=UNLABELLED, metric=None, drift=(drift,))
    assert list_codes(rows) == [ExitCode.PARITY]
    assert word in list_failures(rows)[0].reason
    assert "(default)" in list_failures(rows)[0].required


def test_near_the_users_model_an_unlabelled_candidate_passes():
    assert list_failures(judge(manifest=UNLABELLED, metric=None)) == []


def test_where_a_metric_judges_drift_is_told_and_not_gated():
    rows = judge(drift=(make_drift(1.0, agreement=0.1),))
    assert list_failures(rows) == []
    assert find_row(rows, "drift y").measured == "SQNR 1.0 dB"
    assert find_row(rows, "agreement y").reason == "top1 judges"


def test_where_the_largest_number_stands_is_no_answer_of_what_is_scored_as_numbers():
    spec = dataclasses.replace(make_manifest().metric, name="mae")
    rows = judge(NO_GATES, manifest={"metric": spec}, drift=(make_drift(1.0, agreement=0.1),))
    assert "agreement y" not in [row.name for row in rows]
    gates = dataclasses.replace(NO_GATES, agreement_min=0.5)
    rows = judge(gates, manifest={"metric": spec}, drift=(make_drift(1.0, agreement=0.1),))
    assert find_row(rows, "agreement y").status == "failed"  # asked for by the recipe


def test_a_limit_of_the_recipe_gates_drift_beside_a_metric():
    gates = dataclasses.replace(STRICT, drift_sqnr_db_min=40.0, agreement_min=0.995)
    assert [row.name for row in list_failures(judge(gates))] == ["drift y", "agreement y"]


def test_a_recipe_that_loosens_parity_or_drift_loosens_drift():
    drift, parity = (make_drift(12.0),), (make_parity(12.0),)
    for gates in (
        dataclasses.replace(NO_GATES, sqnr_db_min={"int8": 10.0}),
        dataclasses.replace(NO_GATES, sqnr_db_min={"int8": 10.0}, drift_sqnr_db_min=11.0),
    ):
        assert (
            list_failures(judge(manifest={**UNLABELLED, "gates": gates}, metric=None, drift=drift, parity=parity)) == []
        )


def test_answers_are_gated_by_default_only_where_the_output_is_scores():
    drift = (make_drift(agreement=0.3, is_scores=False),)
    rows = judge(manifest=UNLABELLED, metric=None, drift=drift)
    assert find_row(rows, "agreement y").status == "skipped"
    gates = dataclasses.replace(NO_GATES, agreement_min=0.5)
    rows = judge(manifest={**UNLABELLED, "gates": gates}, metric=None, drift=drift)
    assert find_row(rows, "agreement y").status == "failed"


def test_an_offset_does_not_prove_an_output_whose_variation_is_lost():
    lost = make_drift(60.0, varying=make_varying(-1.0, lost=10))
    rows = judge(manifest=UNLABELLED, metric=None, drift=(lost,))
    assert list_codes(rows) == [ExitCode.PARITY]
    assert "of what differs between samples -1.0 dB" in list_failures(rows)[0].reason
    loose = dataclasses.replace(NO_GATES, drift_sqnr_db_min=-2.0)
    assert list_failures(judge(manifest={**UNLABELLED, "gates": loose}, metric=None, drift=(lost,))) == []


def test_numbers_of_classes_far_from_zero_are_held_to_what_differs_between_samples():
    classes = np.random.default_rng(0).integers(0, 40, 2000)

    def judge_share(share, offset):
        others = np.where(np.arange(2000) < 2000 * share, classes[::-1], classes)
        drift = Drift()
        drift.add({"y": classes + offset}, {"y": others + offset})
        outputs = (dataclasses.replace(TWO_OUTPUTS[0], name="y", dtype="int64"),)
        return judge(manifest={**UNLABELLED, "outputs": outputs}, metric=None, drift=drift.summarize())

    assert list_codes(judge_share(0.2, 10**6)) == [ExitCode.PARITY]
    assert "of what differs between samples" in list_failures(judge_share(0.2, 10**6))[0].reason
    assert list_failures(judge_share(0.05, 10**6)) == []


def test_a_metric_judges_the_first_output_alone():
    second = make_drift(1.0, output="z", agreement=0.1)
    rows = judge(drift=(make_drift(1.0), second), parity=TWO_PARITIES, manifest={"outputs": TWO_OUTPUTS})
    assert [row.name for row in list_failures(rows)] == ["drift z", "agreement z"]
    assert find_row(rows, "drift y").status == "skipped"


BY_TASK = dataclasses.replace(STRICT, task_sqnr_db_min={"int8": 8.0})


def test_where_the_metric_decided_outputs_that_it_reads_are_gated_by_what_lowering_found():
    near, far = make_parity(9.0), make_parity(7.0)
    assert list_failures(judge(BY_TASK, parity=(near,))) == []
    assert find_row(judge(BY_TASK, parity=(near,)), "parity y").required == "≥ 8.0 dB (top1 decides)"
    assert list_codes(judge(BY_TASK, parity=(far,))) == [ExitCode.PARITY]
    assert list_codes(judge(parity=(near,))) == [ExitCode.PARITY]


def test_where_the_metric_decided_its_own_gate_stands():
    rows = judge(BY_TASK, parity=(make_parity(9.0),), metric=make_metric(0.5))
    assert ExitCode.METRIC in list_codes(rows)


def test_where_the_metric_decided_outputs_that_it_does_not_read_keep_their_gates():
    parity, drift = (make_parity(9.0), make_parity(9.0, output="z")), (make_drift(), make_drift(9.0, output="z"))
    rows = judge(BY_TASK, parity=parity, drift=drift, manifest={"outputs": TWO_OUTPUTS})
    assert [row.name for row in list_failures(rows)] == ["parity z", "drift z"]


def test_what_the_metric_decided_of_one_precision_loosens_no_other():
    other = dataclasses.replace(STRICT, task_sqnr_db_min={"float32": 8.0})
    assert list_codes(judge(other, parity=(make_parity(9.0),))) == [ExitCode.PARITY]


def test_outputs_that_are_the_same_in_all_samples_prove_nothing():
    same = make_drift(200.0, varying=make_varying(None, constant=10))
    rows = judge(manifest=UNLABELLED, metric=None, drift=(same,))
    assert find_row(rows, "drift").status == "invalid"
    two = {**UNLABELLED, "outputs": TWO_OUTPUTS}
    rows = judge(manifest=two, metric=None, drift=(same, make_drift(output="z")), parity=TWO_PARITIES)
    assert list_failures(rows) == []


def test_int8_is_a_name_only_for_what_ran_in_int8():
    placement = make_placement(0, 100)
    named = dataclasses.replace(placement, layers=placement.layers[1:])
    row = find_row(judge(NO_GATES, placement=named), "precision")
    assert (row.status, row.code) == ("failed", ExitCode.LATENCY)
    assert "no layer ran in int8" in row.reason


def test_bf16_that_ran_in_float32_because_the_cpu_lacks_it_is_not_proven():
    placement = make_placement(0, 100)
    candidate = make_candidate("bf16", placement=dataclasses.replace(placement, layers=placement.layers[1:]))
    record = make_record(candidates=(candidate, make_candidate("float32")))
    row = find_row(judge_record(record, make_manifest(gates=NO_GATES)).candidates[0].rows, "precision")
    assert (row.status, row.code) == ("failed", ExitCode.LATENCY)
    assert "no layer ran in bf16" in row.reason


def test_a_precision_that_is_demanded_is_the_only_one_that_ships():
    gates = Gates(**{**dataclasses.asdict(NO_GATES), "precision_required": "int8"})
    good = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)))
    record = make_record(candidates=(make_candidate(over_later={"float32": LEVEL}), good))
    judged = judge_record(record, make_manifest(gates=gates))
    assert (judged.verdict, judged.exit_code, judged.shipped) == ("fail", ExitCode.LATENCY, None)
    assert any("demands int8" in reason for reason in judged.reasons)
    assert judge_record(record, make_manifest(gates=NO_GATES)).shipped.precision == "float32"


def test_p90_is_gated_by_its_upper_bound():
    latency = summarize_latency([1.0] * 92 + [3.0] * 8, steady=True)
    assert latency.p90_ms < 2.0 < latency.p90_upper_ms
    assert list_codes(judge(latency=latency)) == [ExitCode.LATENCY]


def test_where_the_interval_holds_both_answers_int8_stays_and_the_row_is_undecided():
    rows = judge(over_later={"float32": NOISE})
    assert list_failures(rows) == []
    assert find_row(rows, "speed").status == "undecided"
    assert "undecided whether it is faster than float32" in find_row(rows, "speed").reason


@pytest.mark.parametrize(
    ("ratio", "status"),
    [
        (Ratio(ratio=1.03, low=1.0001, high=1.05), "passed"),
        (Ratio(ratio=1.03, low=0.9999, high=1.05), "undecided"),
        (Ratio(ratio=1.0, low=0.99, high=1.0203), "undecided"),
        (Ratio(ratio=1.0, low=0.99, high=1.0199), "failed"),
    ],
)
def test_speed_is_decided_by_the_whole_interval(ratio, status):
    assert find_row(judge(over_later={"float32": ratio}), "speed").status == status


def test_a_candidate_that_fails_what_it_computes_is_not_judged_by_its_speed():
    rows = judge(parity=(make_parity(3.0),), over_later={"float32": LEVEL})
    assert find_row(rows, "speed").status == find_row(rows, "measurement").status == "skipped"
    assert find_row(rows, "speed").reason == "not judged, after parity y"


def test_reasons_come_in_the_order_parity_metric_latency():
    rows = judge(parity=(make_parity(3.0),), metric=make_metric(0.1), placement=make_placement(1, 99))
    assert list_codes(rows) == [ExitCode.PARITY, ExitCode.METRIC, ExitCode.LATENCY]


def test_a_worthless_measurement_does_not_hide_what_failed():
    assert list_codes(judge(parity=(make_parity(3.0),), over_reference=UNKNOWN)) == [ExitCode.PARITY]


def test_a_worthless_measurement_is_no_ground_to_call_it_slow():
    assert list_codes(judge(over_later={"float32": LEVEL}, over_reference=UNKNOWN)) == [ExitCode.INVALID]


def test_latency_decides_nothing_on_an_emulated_board():
    changes = {
        "latency": summarize_latency([], steady=False),
        "over_reference": UNKNOWN,
        "over_later": {"float32": UNKNOWN},
    }
    changes["record"] = {"throttled": True, "validity": Validity(problems=("loaded",))}
    emulated = {"manifest": {"emulated": True}}
    assert list_failures(judge(**emulated, **changes)) == []
    assert list_codes(judge(**emulated, metric=make_metric(0.1), **changes)) == [ExitCode.METRIC]


@pytest.mark.parametrize("throttled", [False, None])
def test_a_board_that_did_not_throttle_or_does_not_tell_is_judged_as_it_ran(throttled):
    rows = judge(record={"throttled": throttled})
    assert list_failures(rows) == []
    assert find_row(rows, "throttling").measured == ("unknown" if throttled is None else "no events")


def test_sensors_that_cannot_be_read_are_said_to_be_unknown():
    row = find_row(judge(record={"validity": Validity(unknown=("clocks",))}), "measurement")
    assert row.measured == "undisturbed; unknown: clocks"


def test_every_precision_has_a_default_gate_and_the_recipe_may_set_another():
    assert set(DEFAULT_SQNR_DB_MIN) == set(PRECISIONS)
    assert find_sqnr_db_min(NO_GATES, "int8") == 20.0
    assert find_sqnr_db_min(STRICT, "int8") == 25.0
    with pytest.raises(ToolchainError):
        find_sqnr_db_min(NO_GATES, "int4")


def test_the_first_candidate_that_passes_is_shipped_with_its_bytes():
    judged = judge_record(make_record(), make_manifest())
    assert (judged.verdict, judged.exit_code, judged.reasons) == ("pass", ExitCode.PROVEN, ())
    shipped = judged.shipped
    assert (shipped.precision, shipped.path, shipped.sha256) == ("int8", "payload/int8/model.onnx", "9c" * 32)
    assert [candidate.status for candidate in judged.candidates] == ["shipped", "not needed"]


def test_after_a_worthless_measurement_nothing_else_is_shipped():
    float32 = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)))
    record = make_record(candidates=(make_candidate(over_reference=UNKNOWN), float32))
    judged = judge_record(record, make_manifest())
    assert (judged.verdict, judged.shipped) == ("invalid", None)
    assert [candidate.status for candidate in judged.candidates] == ["rejected", "not needed"]


@pytest.mark.parametrize(
    ("problems", "sqnr_db", "verdict", "exit_code"),
    [
        ((), 100.0, "pass", ExitCode.PROVEN),
        ((), 10.0, "fail", ExitCode.METRIC),
        (("others wanted the CPU",), 100.0, "invalid", ExitCode.INVALID),
        (("others wanted the CPU",), 10.0, "fail", ExitCode.METRIC),
    ],
)
def test_a_first_candidate_fails_for_all_only_where_the_next_was_measured(problems, sqnr_db, verdict, exit_code):
    # What could not be measured may well pass on a quiet machine: a pipeline has to ask again, not to give the model up.
    int8 = make_candidate(evaluation=make_evaluation(metric=make_metric(0.9)))
    float32 = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(sqnr_db),)))
    judged = judge_record(
        make_record(candidates=(int8, float32), validity=Validity(problems=problems)), make_manifest()
    )
    assert (judged.verdict, judged.exit_code) == (verdict, exit_code)


def test_a_pinned_payload_alone_is_proven_or_nothing_is():
    float32 = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)))
    slow = make_record(candidates=(make_candidate(over_later={"float32": LEVEL}), float32))
    assert judge_record(slow, make_manifest()).shipped.precision == "float32"
    pinned = judge_record(dataclasses.replace(slow, pinned="int8"), make_manifest())
    assert (pinned.verdict, pinned.exit_code, pinned.shipped) == ("fail", ExitCode.LATENCY, None)
    other = judge_record(dataclasses.replace(slow, pinned="float32"), make_manifest())
    assert other.shipped.precision == "float32"
    assert other.candidates[0].status == "not needed"


def test_a_candidate_whose_turn_it_was_and_that_was_not_run_proves_nothing():
    float32 = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)))
    judged = judge_record(make_record(candidates=(make_candidate(evaluation=None), float32)), make_manifest())
    assert (judged.verdict, judged.exit_code, judged.shipped) == ("invalid", ExitCode.INVALID, None)


def test_no_candidate_is_no_verdict():
    judged = judge_record(make_record(candidates=()), make_manifest())
    assert (judged.verdict, judged.exit_code) == ("invalid", ExitCode.INVALID)


def test_a_faster_next_candidate_is_no_reason_for_the_last():
    record = make_record(
        candidates=(
            make_candidate(over_later={"float32": LEVEL}),
            make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)), over_reference=FASTER),
        )
    )
    judged = judge_record(record, make_manifest(gates=dataclasses.replace(STRICT, sqnr_db_min={})))
    assert judged.shipped.precision == "float32"
    assert find_row(judged.candidates[1].rows, "speed").status == "skipped"


@pytest.mark.parametrize(
    ("limit", "upper", "status"),
    [(0.01, 0.004, "passed"), (0.003, 0.004, "failed"), (0.01, None, "failed"), (0.004, 0.004, "passed")],
)
def test_the_bound_of_a_drop_is_gated_where_the_recipe_asks_for_it(limit, upper, status):
    metric = dataclasses.replace(make_metric(0.001), drop_upper=upper)
    rows = judge(dataclasses.replace(STRICT, limits={"metric_drop_upper_max": limit}), metric=metric)
    row = find_row(rows, "metric bound")
    assert row.status == status
    assert row.code == (ExitCode.METRIC if status == "failed" else ExitCode.PROVEN)


def test_without_the_limit_the_bound_is_told_and_gates_nothing():
    rows = judge(metric=dataclasses.replace(make_metric(0.001), drop_upper=0.5))
    assert "at most 50.00 points with 99 %" in find_row(rows, "metric").measured
    assert not [row for row in rows if row.name == "metric bound"]

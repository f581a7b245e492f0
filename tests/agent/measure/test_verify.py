import dataclasses
import json
import os

import numpy as np
import onnx
import pytest

from tests.made_record import NO_GATES
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import Compatible, Gates, MetricSpec, TensorSpec, read_manifest
from toolchain.agent.measure import payloads
from toolchain.agent.measure.footprint import measure
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.quantiles import Ratio, summarize_latency
from toolchain.agent.measure.record import read_record
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.agent.measure.validity import Validity
from toolchain.agent.measure.verify import verify_bundle
from toolchain.bundle import GoldenBatch
from toolchain.deploy.answer import read_answer

METRIC_GATE = Gates(metric_drop_max=0.1, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)


def verify(bundle, **options):
    options = {"settings": MeasureSettings(start_processes=1), **options}
    return verify_bundle(bundle, on_progress=lambda step, done, total: None, **options)


@pytest.fixture
def pretend_latency(monkeypatch):
    """Return a function that puts made latencies (ms by path) in the place of the measurement."""

    def pretend(rounds=30, **latency_ms):
        def measure(runs, *, on_progress, **_options):
            blocks_ns = {}
            for path, run in runs.items():
                run()
                usual_ms = latency_ms.get(path) or latency_ms[path.split("/")[1]]
                blocks_ns[path] = [[int(usual_ms * 1e6)] * 40] * rounds
            on_progress(100, 100)
            return Measurement(blocks_ns=blocks_ns, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(payloads, "measure_latency", measure)

    return pretend


def list_statuses(verification):
    return [candidate.status for candidate in verification.judgement.candidates]


def find_shipped(verification):
    return None if verification.judgement.shipped is None else verification.judgement.shipped.precision


def test_a_good_faster_int8_is_shipped_and_float_is_not_needed(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    verification = verify(make_bundle(emulated=False))
    record = verification.record
    assert (verification.judgement.verdict, find_shipped(verification)) == ("pass", "int8")
    assert list_statuses(verification) == ["shipped", "not needed"]
    # Another session may differ by 1 %.
    assert record.candidates[0].over_reference == Ratio(ratio=2.0, low=2.0 / 1.01, high=2.0 * 1.01)
    assert record.candidates[1].over_reference == Ratio(ratio=1.0, low=1.0, high=1.0)
    assert record.candidates[1].evaluation is None


def test_latency_is_measured_on_the_sample_that_takes_longest_and_that_is_said(make_bundle, monkeypatch):
    fed = []

    def measure(runs, *, on_progress, **_options):
        sessions = [run.__closure__ for run in runs.values()]
        fed.extend(
            cell.cell_contents for closure in sessions for cell in closure if isinstance(cell.cell_contents, dict)
        )
        return Measurement(blocks_ns={name: [[1_000_000] * 40] * 30 for name in runs}, steady=dict.fromkeys(runs, True))

    bundle = make_bundle(emulated=False)
    manifest, _ = read_manifest(bundle)
    third = open_golden(bundle, manifest).read_inputs(2, 3)
    monkeypatch.setattr(payloads, "measure_latency", measure)
    monkeypatch.setattr(payloads, "find_slowest", lambda _bind, samples: samples[2])
    record = verify(bundle).record
    assert record.latency_sample == 2
    assert "latency is that of sample 2 of the evaluation set" in record.validity.notes[0]
    assert all(np.array_equal(feeds[name], array) for feeds in fed for name, array in third.items())
    assert fed
    monkeypatch.setattr(payloads, "find_slowest", lambda _bind, samples: samples[0])
    record = verify(bundle).record
    assert (record.latency_sample, [note for note in record.validity.notes if "sample" in note]) == (0, [])


def test_what_is_printed_is_the_record_and_the_verdict_and_can_be_read_again(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    bundle = make_bundle(emulated=False)
    verification = verify(bundle)
    document = json.loads(json.dumps(verification.describe(), allow_nan=False))
    assert set(document) == {"record", "verdict", "exit_code", "reasons", "shipped", "candidates"}
    assert read_record(document["record"]) == verification.record
    manifest, bundle_id = read_manifest(bundle)
    answer = read_answer(document, manifest, bundle_id)
    assert answer.judgement == verification.judgement
    assert document["shipped"]["path"] == "payload/int8/model.onnx"
    assert document["candidates"][0]["rows"][0]["name"] == "outputs"


def test_the_users_own_file_is_measured_and_the_faster_reference_is_the_one_that_counts(
    make_bundle, write_model, tmp_path, pretend_latency
):
    own = write_model("float32")
    model = onnx.load(own)
    model.producer_name = "the user's own"
    onnx.save(model, tmp_path / "own.onnx")
    bundle = make_bundle(emulated=False, original=tmp_path / "own.onnx", is_original_measured=True)
    for own_ms, fastest, ratio in ((1.5, "original", 1.5), (3.0, "float32", 2.0)):
        pretend_latency(int8=1.0, float32=2.0, original=own_ms)
        record = verify(bundle).record
        assert record.reference.payload.path == f"payload/{fastest}/model.onnx"
        assert record.reference.is_original is (fastest == "original")
        assert record.candidates[0].over_reference.ratio == ratio


def test_drift_is_measured_against_the_users_model_and_parity_against_what_was_lowered(make_bundle, samples):
    inputs, outputs, _ = samples
    batch = GoldenBatch(inputs={"input": inputs}, outputs={"logits": outputs}, originals={"logits": -outputs})
    unlabelled = {"metric": MetricSpec(name=None, reference=None), "targets": {}, "gates": NO_GATES}
    candidates = verify(make_bundle(golden=[batch], is_compressed=True, **unlabelled)).record.candidates
    evaluation = candidates[0].evaluation
    assert evaluation.parity[0].sqnr_db > 20
    assert evaluation.drift[0].sqnr_db < -5
    assert evaluation.drift[0].agreement < 0.5


def test_a_compressed_model_that_is_another_one_than_the_users_is_exit_18_without_labels(make_bundle, samples):
    inputs, outputs, _ = samples
    unlabelled = {"metric": MetricSpec(name=None, reference=None), "targets": {}, "gates": NO_GATES}
    batch = GoldenBatch(inputs={"input": inputs}, outputs={"logits": outputs}, originals={"logits": -outputs})
    verification = verify(make_bundle(golden=[batch], is_compressed=True, **unlabelled))
    assert verification.judgement.exit_code == ExitCode.PARITY
    assert "drifts from the model that was brought" in verification.judgement.reasons[0]


def test_without_compression_the_users_model_passes_without_labels(make_bundle):
    unlabelled = {"metric": MetricSpec(name=None, reference=None), "targets": {}, "gates": NO_GATES}
    verification = verify(make_bundle(**unlabelled))
    assert verification.judgement.verdict == "pass"
    drift = verification.record.candidates[0].evaluation.drift[0]
    assert drift.sqnr_db == verification.record.candidates[0].evaluation.parity[0].sqnr_db


def test_the_payload_that_a_deploy_pinned_is_proven_or_none(make_bundle, pretend_latency):
    pretend_latency(int8=2.0, float32=2.0)
    bundle = make_bundle(emulated=False)
    verification = verify(bundle, pinned="int8")
    assert (verification.judgement.exit_code, find_shipped(verification)) == (ExitCode.LATENCY, None)
    assert verification.record.candidates[1].evaluation is None
    assert find_shipped(verify(bundle, pinned="float32")) == "float32"
    with pytest.raises(ToolchainError) as caught:
        verify(bundle, pinned="fp16")
    assert caught.value.code == ExitCode.CONTENT


def test_of_two_numbers_of_threads_the_faster_one_alone_is_evaluated_and_held_against_float_on_two(
    make_bundle, pretend_latency
):
    int8, float32 = ("payload/int8/model.onnx", "payload/float32/model.onnx")
    pretend_latency(
        **{f"{int8} 1 thread": 1.0, f"{int8} 2 threads": 0.5, f"{float32} 1 thread": 3.0, f"{float32} 2 threads": 2.0}
    )
    bundle = make_bundle(emulated=False, ways=[(1, False), (2, False)])
    verification = verify(bundle)
    record, shipped = verification.record, verification.judgement.shipped
    assert record.names == ("int8 1 thread", "int8 2 threads", "float32 1 thread", "float32 2 threads")
    assert (shipped.precision, shipped.threads) == ("int8", 2)
    assert [item.evaluation is not None for item in record.candidates] == [False, True, False, False]
    assert (record.reference.threads, record.candidates[1].over_reference.ratio) == (2, 4.0)
    assert set(verification.samples_ms) == {"reference", *record.names}
    one = verify(bundle, pinned="int8 1 thread").judgement
    assert (one.verdict, one.shipped.threads) == ("pass", 1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")
def test_pinned_threads_that_are_faster_ship_and_one_verdict_does_not_stand_for_the_other(make_bundle, pretend_latency):
    int8, float32 = ("payload/int8/model.onnx", "payload/float32/model.onnx")
    pretend_latency(**{int8: 1.0, f"{int8} pinned": 0.5, float32: 3.0, f"{float32} pinned": 2.0})
    bundle = make_bundle(emulated=False, ways=[(2, False), (2, True)])
    verification = verify(bundle)
    record = read_record(json.loads(json.dumps(verification.describe()["record"])))
    assert record.names == ("int8", "int8 pinned", "float32", "float32 pinned")
    assert [item.pins_threads for item in record.candidates] == [False, True, False, True]
    assert (verification.judgement.shipped.pins_threads, record.reference.pins_threads) == (True, True)
    footprint = record.candidates[1].footprint
    assert (footprint.failure, len(footprint.runs)) == (None, 1)  # its process pinned them too
    free = verify(bundle, pinned="int8").judgement
    assert (free.verdict, free.shipped.pins_threads) == ("pass", False)


def test_samples_are_named_by_role_even_where_one_file_has_two(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    samples_ms = verify(make_bundle(emulated=False)).samples_ms
    assert {name: len(samples) for name, samples in samples_ms.items()} == dict.fromkeys(
        ("reference", "int8", "float32"), 1200
    )
    assert samples_ms["float32"] == samples_ms["reference"]


def test_int8_that_is_not_faster_is_rejected_and_float_is_shipped_and_the_reason_is_told(make_bundle, pretend_latency):
    pretend_latency(int8=2.0, float32=2.0)
    verification = verify(make_bundle(emulated=False))
    assert verification.judgement.exit_code == ExitCode.PROVEN
    assert find_shipped(verification) == "float32"
    assert list_statuses(verification) == ["rejected", "shipped"]
    assert "not faster than float32" in verification.judgement.reasons[0]


def test_int8_that_is_wrong_is_rejected_and_float_is_shipped(make_bundle, write_model, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    candidates = {"int8": write_model("negated"), "float32": write_model("float32")}
    verification = verify(make_bundle(emulated=False, candidates=candidates, gates=METRIC_GATE))
    assert find_shipped(verification) == "float32"
    assert list_statuses(verification) == ["rejected", "shipped"]


def test_nothing_that_can_be_shipped_is_a_failure_with_the_first_reason(make_bundle, write_model):
    candidates = {"int8": write_model("nan"), "float32": write_model("negated")}
    verification = verify(make_bundle(candidates=candidates))
    assert verification.judgement.exit_code == ExitCode.PARITY
    assert verification.judgement.verdict == "fail"
    assert find_shipped(verification) is None
    assert list_statuses(verification) == ["rejected", "rejected"]
    reasons = verification.judgement.reasons
    assert reasons[0] == "int8: output logits: 280 values are NaN or infinite"
    assert any(reason.startswith("float32: ") for reason in reasons)


def test_a_metric_that_drops_too_far_is_exit_24(make_bundle, write_model):
    gates = dataclasses.replace(METRIC_GATE, sqnr_db_min={"float32": -200.0})
    verification = verify(make_bundle(candidates={"float32": write_model("negated")}, gates=gates))
    assert verification.judgement.exit_code == ExitCode.METRIC
    assert verification.record.candidates[0].evaluation.metric.drop == 1.0


def test_int8_that_really_runs_in_float_is_exit_19(make_bundle, write_model):
    verification = verify(make_bundle(candidates={"int8": write_model("float32")}))
    assert verification.judgement.exit_code == ExitCode.LATENCY
    assert "no layer ran in int8" in verification.judgement.reasons[0]


def test_a_latency_over_the_gate_is_exit_19(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    gates = dataclasses.replace(METRIC_GATE, latency_p90_ms_max=0.9)
    verification = verify(make_bundle(emulated=False, gates=gates))
    assert verification.judgement.exit_code == ExitCode.LATENCY
    assert list_statuses(verification) == ["rejected", "rejected"]


def test_a_measurement_lost_in_noise_is_invalid_and_ships_nothing(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0, rounds=5)
    verification = verify(make_bundle(emulated=False))
    assert verification.judgement.exit_code == ExitCode.INVALID
    assert verification.judgement.verdict == "invalid"
    assert find_shipped(verification) is None
    assert list_statuses(verification) == ["rejected", "not needed"]


def test_on_an_emulated_board_nothing_is_timed_and_the_first_good_candidate_is_shipped(make_bundle, monkeypatch):
    monkeypatch.setattr(payloads, "measure_latency", None)
    verification = verify(make_bundle(emulated=True))
    assert find_shipped(verification) == "int8"
    assert verification.record.candidates[0].latency == summarize_latency([], steady=False)
    assert verification.samples_ms == {}


def assert_refused(code, bundle):
    with pytest.raises(ToolchainError) as caught:
        verify(bundle)
    assert caught.value.code == code


def test_a_bundle_that_must_be_signed_and_is_not_is_refused_before_anything_is_opened(make_bundle, monkeypatch):
    bundle = make_bundle(signature="required")
    monkeypatch.setattr(payloads, "open_session", None)
    assert_refused(ExitCode.SIGNATURE, bundle)


def test_a_bundle_with_its_signature_is_verified(make_bundle):
    bundle = make_bundle(signature="required")
    (bundle / "manifest.json.sig").write_text("checked by whoever placed the bundle")
    assert verify(bundle).judgement.exit_code == ExitCode.PROVEN


def test_a_changed_bundle_is_refused_before_anything_is_opened(make_bundle, monkeypatch):
    bundle = make_bundle()
    (bundle / "payload/int8/model.onnx").write_bytes(b"other")
    monkeypatch.setattr(payloads, "open_session", None)
    assert_refused(ExitCode.CONTENT, bundle)


def test_a_board_that_does_not_fit_is_refused(make_bundle):
    compatible = Compatible(arch="riscv64", accelerator=None, runtime_versions={}, cpu_features=())
    assert_refused(ExitCode.INCOMPATIBLE, make_bundle(compatible=compatible))


def test_a_payload_that_is_no_model_is_refused(make_bundle, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert_refused(ExitCode.MALFORMED, make_bundle(candidates={"int8": tmp_path / "broken.onnx"}))


def test_a_payload_with_other_inputs_than_the_manifest_is_refused(make_bundle, write_model):
    specs = [TensorSpec(name="input", dtype="float32", shape=(5, 3, 8, 8))]
    assert_refused(
        ExitCode.MALFORMED, make_bundle(inputs=specs, candidates={"float32": write_model("float32", batch=7)})
    )


def test_a_payload_with_a_renamed_output_fails_parity(make_bundle, write_model):
    candidates = {"int8": write_model("int8", output="scores")}
    verification = verify(make_bundle(candidates=candidates))
    assert verification.judgement.exit_code == ExitCode.PARITY
    assert "scores" in verification.judgement.reasons[0]
    assert verification.record.candidates[0].evaluation.parity == ()


@pytest.mark.parametrize(("busy", "made", "verdict"), [(0, 1, "pass"), (1, 2, "pass"), (9, 3, "invalid")])
def test_a_disturbed_measurement_is_made_again_and_a_board_that_stays_busy_is_invalid(
    make_bundle, monkeypatch, busy, made, verdict
):
    calls = []

    def pretend(runs, **_options):
        calls.append(runs)
        blocks_ns = {path: [[int(1e6 if "int8" in path else 2e6)] * 40] * 30 for path in runs}
        return Measurement(blocks_ns=blocks_ns, steady=dict.fromkeys(runs, True))

    def find_problems(*_arguments):
        return ("others wanted the CPU",) if len(calls) <= busy else ()

    monkeypatch.setattr(payloads, "measure_latency", pretend)
    monkeypatch.setattr(payloads, "find_contention", find_problems)
    monkeypatch.setattr(payloads, "find_validity", lambda *_: Validity(problems=find_problems()))
    verification = verify(make_bundle(emulated=False))
    assert (len(calls), verification.judgement.verdict) == (made, verdict)
    assert len(verification.record.validity.notes) == (1 if busy else 0)


def test_a_gate_on_memory_or_start_is_judged_by_processes_of_the_payload_that_ships(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    limits = {"memory_peak_mb_max": 2000.0, "start_ms_max": 3_600_000.0}
    gates = dataclasses.replace(METRIC_GATE, limits=limits)
    verification = verify(make_bundle(emulated=False, gates=gates), settings=MeasureSettings(start_processes=8))
    rows = {row.name: row for row in verification.judgement.candidates[0].rows}
    assert (rows["memory"].status, rows["start"].status) == ("passed", "passed")
    assert len(verification.record.candidates[0].footprint.runs) == 8
    assert verification.record.candidates[1].footprint is None  # it was not needed


def test_a_start_that_no_gate_asks_for_is_shown_by_one_process(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    gates = dataclasses.replace(METRIC_GATE, limits={"memory_peak_mb_max": 2000.0})
    verification = verify(make_bundle(emulated=False, gates=gates), settings=MeasureSettings(start_processes=8))
    rows = {row.name: row for row in verification.judgement.candidates[0].rows}
    assert (rows["memory"].status, rows["start"].status) == ("passed", "skipped")
    assert len(verification.record.candidates[0].footprint.runs) == 1


def test_too_few_starts_for_the_gate_are_exit_20(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    gates = dataclasses.replace(METRIC_GATE, limits={"start_ms_max": 3_600_000.0})
    verification = verify(make_bundle(emulated=False, gates=gates))
    assert verification.judgement.exit_code == ExitCode.INVALID
    assert "raise --start-processes" in verification.judgement.reasons[0]


def test_counters_that_cannot_be_read_fail_the_gate_on_memory(make_bundle, monkeypatch):
    monkeypatch.setattr(measure, "_START", "print('none of this here')")
    gates = dataclasses.replace(METRIC_GATE, limits={"memory_peak_mb_max": 2000.0})
    judgement = verify(make_bundle(gates=gates)).judgement
    assert judgement.exit_code == ExitCode.LATENCY
    assert all("cannot be read" in reason for reason in judgement.reasons)

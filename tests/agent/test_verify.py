import dataclasses
import json

import pytest

from toolchain.agent import payloads
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.latency import Measurement
from toolchain.agent.manifest import Compatible, Gates, TensorSpec, read_manifest
from toolchain.agent.payloads import describe_difference
from toolchain.agent.verify import verify_bundle

METRIC_GATE = Gates(metric_drop_max=0.1, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)


def verify(bundle):
    return verify_bundle(bundle, on_progress=lambda step, done, total: None)


@pytest.fixture
def pretend_latency(monkeypatch):
    """Return a function that puts made latencies (ms by path) in the place of the measurement."""

    def pretend(rounds=30, **latency_ms):
        def measure(runs, *, on_progress, **_options):
            blocks_ns = {}
            for path, run in runs.items():
                run()
                name = path.split("/")[1]
                blocks_ns[path] = [[int(latency_ms[name] * 1e6)] * 40] * rounds
            on_progress(100, 100)
            return Measurement(blocks_ns=blocks_ns, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(payloads, "measure_latency", measure)

    return pretend


def list_statuses(verification):
    return [candidate["status"] for candidate in verification.measurements["candidates"]]


def test_a_good_faster_int8_is_shipped_and_float_is_not_needed(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    verification = verify(make_bundle(emulated=False))
    measurements = verification.measurements
    assert verification.exit_code == ExitCode.PROVEN
    assert (measurements["verdict"], measurements["shipped"]["precision"], measurements["reasons"]) == (
        "pass",
        "int8",
        [],
    )
    assert list_statuses(verification) == ["shipped", "not needed"]
    assert measurements["candidates"][0]["speedup"] == {"ratio": 2.0, "low": 2.0, "high": 2.0}
    assert measurements["candidates"][1]["speedup"] == {"ratio": 1.0, "low": 1.0, "high": 1.0}


def test_the_measurements_have_the_keys_of_the_contract(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    bundle = make_bundle(emulated=False)
    measurements = json.loads(json.dumps(verify(bundle).measurements, allow_nan=False))
    latency = {"p50_ms", "p50_upper_ms", "p90_ms", "p90_upper_ms", "p99_ms", "p99_upper_ms"}
    latency |= {"mean_ms", "cv", "samples", "steady"}
    assert set(measurements) == {
        *("schema", "bundle_id", "device", "verdict", "exit_code", "reasons", "shipped", "environment", "candidates"),
        *("reference", "latency_scope", "conditions", "batch", "threads"),
    }
    assert set(measurements["device"]) == {
        *("arch", "cpu", "cpu_features", "os", "python", "runtime", "runtime_version", "threads", "accelerator"),
        "details",
    }
    candidate = measurements["candidates"][0]
    assert set(candidate) == {
        *("precision", "path", "sha256", "size_bytes", "engine", "status", "reasons"),
        *("metric", "parity", "latency", "speedup", "placement"),
    }
    assert set(candidate["metric"]) == {"name", "reference", "deployed", "drop", "samples"}
    assert set(candidate["parity"][0]) == {
        *("output", "max_abs", "p99_abs", "cosine", "sqnr_db", "nonfinite", "sqnr_db_min", "passed")
    }
    assert set(candidate["latency"]) == set(measurements["reference"]["latency"]) == latency
    assert set(candidate["placement"]) == {"precision_share_macs", "macs", "layers"}
    assert set(candidate["placement"]["layers"][0]) == {"name", "op", "precision", "macs"}
    assert measurements["bundle_id"] == read_manifest(bundle)[1]
    assert (measurements["schema"], measurements["batch"], measurements["threads"]) == (1, 1, 1)


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
    assert verification.exit_code == ExitCode.PROVEN
    assert verification.measurements["shipped"]["precision"] == "float32"
    assert list_statuses(verification) == ["rejected", "shipped"]
    assert "not faster than float32" in verification.measurements["reasons"][0]


def test_int8_that_is_wrong_is_rejected_and_float_is_shipped(make_bundle, write_model, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    candidates = {"int8": write_model("negated"), "float32": write_model("float32")}
    verification = verify(make_bundle(emulated=False, candidates=candidates, gates=METRIC_GATE))
    assert verification.measurements["shipped"]["precision"] == "float32"
    assert list_statuses(verification) == ["rejected", "shipped"]


def test_nothing_that_can_be_shipped_is_a_failure_with_the_first_reason(make_bundle, write_model):
    candidates = {"int8": write_model("nan"), "float32": write_model("negated")}
    verification = verify(make_bundle(candidates=candidates))
    assert verification.exit_code == ExitCode.PARITY
    assert verification.measurements["verdict"] == "fail"
    assert verification.measurements["shipped"] is None
    assert list_statuses(verification) == ["rejected", "rejected"]
    reasons = verification.measurements["reasons"]
    assert reasons[0] == "int8: output logits: 280 values are NaN or infinite"
    assert any(reason.startswith("float32: ") for reason in reasons)


def test_a_metric_that_drops_too_far_is_exit_24(make_bundle, write_model):
    gates = dataclasses.replace(METRIC_GATE, sqnr_db_min={"float32": -200.0})
    verification = verify(make_bundle(candidates={"float32": write_model("negated")}, gates=gates))
    assert verification.exit_code == ExitCode.METRIC
    assert verification.measurements["candidates"][0]["metric"]["drop"] == 1.0


def test_int8_that_really_runs_in_float_is_exit_19(make_bundle, write_model):
    verification = verify(make_bundle(candidates={"int8": write_model("float32")}))
    assert verification.exit_code == ExitCode.LATENCY
    assert "0.0 % of the MACs ran in int8" in verification.measurements["reasons"][0]


def test_a_latency_over_the_gate_is_exit_19(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    gates = dataclasses.replace(METRIC_GATE, latency_p90_ms_max=0.9)
    verification = verify(make_bundle(emulated=False, gates=gates))
    assert verification.exit_code == ExitCode.LATENCY
    assert list_statuses(verification) == ["rejected", "rejected"]


def test_a_measurement_lost_in_noise_is_invalid_and_ships_nothing(make_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0, rounds=5)
    verification = verify(make_bundle(emulated=False))
    assert verification.exit_code == ExitCode.INVALID
    assert verification.measurements["verdict"] == "invalid"
    assert verification.measurements["shipped"] is None
    assert list_statuses(verification) == ["rejected", "not needed"]


def test_on_an_emulated_board_nothing_is_timed_and_the_first_good_candidate_is_shipped(make_bundle, monkeypatch):
    monkeypatch.setattr(payloads, "measure_latency", None)
    verification = verify(make_bundle(emulated=True))
    assert verification.measurements["shipped"]["precision"] == "int8"
    latency = verification.measurements["candidates"][0]["latency"]
    assert latency == {**dict.fromkeys(latency), "samples": 0, "steady": False}
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
    assert verify(bundle).exit_code == ExitCode.PROVEN


def test_a_changed_bundle_is_refused_before_anything_is_opened(make_bundle, monkeypatch):
    bundle = make_bundle()
    (bundle / "payload/int8/model.onnx").write_bytes(b"other")
    monkeypatch.setattr(payloads, "open_session", None)
    assert_refused(ExitCode.CONTENT, bundle)


def test_a_board_that_does_not_fit_is_refused(make_bundle):
    compatible = Compatible(arch="riscv64", accelerator=None, runtime_version=None, cpu_features=())
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
    assert verification.exit_code == ExitCode.PARITY
    assert "scores" in verification.measurements["reasons"][0]
    assert verification.measurements["candidates"][0]["parity"] == []


def make_specs(*shapes, dtype="float32"):
    return [TensorSpec(name=f"t{index}", dtype=dtype, shape=shape) for index, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (make_specs((None, 3)), make_specs((1, 3))),
        (make_specs((1, 3)), make_specs((None, 3))),
        (make_specs((), (2,)), make_specs((), (2,))),
    ],
)
def test_shapes_that_may_be_the_same_are_no_difference(expected, found):
    assert describe_difference(expected, found) is None


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (make_specs((2, 3)), make_specs((2, 4))),
        (make_specs((2, 3)), make_specs((2,))),
        (make_specs((2,)), make_specs((2, 3))),
        (make_specs((2,)), make_specs((2,), dtype="float16")),
        (make_specs((2,)), make_specs((2,), (2,))),
        (make_specs((2,), (2,)), make_specs((2,))),
    ],
)
def test_other_names_types_and_shapes_are_differences(expected, found):
    assert describe_difference(expected, found)

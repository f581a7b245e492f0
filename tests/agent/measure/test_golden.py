import dataclasses
import io
import pickle

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec, read_manifest
from toolchain.agent.measure.golden import evaluate_session, open_golden
from toolchain.agent.measure.session import ShapeRange, open_session
from toolchain.bundle import GoldenBatch


def write_archive():
    file = io.BytesIO()
    np.savez(file, x=np.zeros(3))
    return file.getvalue()


def open_all(bundle, path="payload/float32/model.onnx"):
    manifest, _ = read_manifest(bundle)
    return open_session("onnxruntime", bundle / path, 1), open_golden(bundle, manifest), manifest


def make_archive():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(70))
    return buffer.getvalue()


def ignore_progress(done, total):
    pass


def assert_malformed(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == ExitCode.MALFORMED
    return caught.value


def test_the_reference_itself_has_perfect_parity_and_metric(make_bundle):
    evaluation = evaluate_session(*open_all(make_bundle()), ignore_progress)
    assert [output.sqnr_db for output in evaluation.parity] == [200.0]
    metric = evaluation.metric
    assert (metric.name, metric.deployed, metric.drop, metric.samples) == ("top1", 1.0, 0.0, 70)


def test_a_payload_that_is_always_wrong_loses_the_whole_metric(make_bundle, write_model):
    bundle = make_bundle(candidates={"float32": write_model("negated")})
    evaluation = evaluate_session(*open_all(bundle, "payload/float32/model.onnx"), ignore_progress)
    assert evaluation.metric.deployed == 0.0
    assert evaluation.metric.drop == 1.0
    assert evaluation.parity[0].cosine == pytest.approx(-1.0)


def test_a_fixed_batch_of_the_graph_is_kept_to(make_bundle, write_model):
    inputs = [TensorSpec(name="input", dtype="float32", shape=(7, 3, 8, 8))]
    model = write_model("float32", batch=7)
    bundle = make_bundle(candidates={"float32": model}, reference=model, inputs=inputs)
    seen = []
    evaluation = evaluate_session(*open_all(bundle), lambda done, total: seen.append((done, total)))
    assert evaluation.parity[0].sqnr_db > 100
    assert seen == [(done, 70) for done in range(7, 71, 7)]


def test_a_set_that_does_not_fill_fixed_batches_is_refused(make_bundle, write_model):
    model = write_model("float32", batch=32)
    bundle = make_bundle(candidates={"float32": model}, reference=model)
    error = assert_malformed(lambda: evaluate_session(*open_all(bundle), ignore_progress))
    assert (error.expected, error.found) == ("a multiple of 32", "70")


def test_a_payload_without_an_output_fails_parity(make_bundle, write_model):
    bundle = make_bundle(candidates={"float32": write_model("float32", output="scores")})
    evaluation = evaluate_session(*open_all(bundle, "payload/float32/model.onnx"), ignore_progress)
    assert "missing" in evaluation.mismatch
    assert (evaluation.parity, evaluation.drift, evaluation.metric) == ((), (), None)


def test_without_a_metric_there_is_parity_alone(make_bundle, bundle_inputs):
    good = bundle_inputs()
    metric = dataclasses.replace(good.metric, name=None, reference=None)
    gates = dataclasses.replace(good.gates, metric_drop_max=None)
    evaluation = evaluate_session(*open_all(make_bundle(metric=metric, gates=gates, targets={})), ignore_progress)
    assert evaluation.metric is None
    assert len(evaluation.parity) == len(evaluation.drift) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((69, 3, 8, 8), np.float32),
        np.zeros((70, 3, 8, 9), np.float32),
        np.zeros((70, 192), np.float32),
        np.zeros((70, 3, 8, 8), np.float64),
        np.array([{"a": 1}] * 70),
    ],
    ids=["fewer", "wider", "flat", "dtype", "objects"],
)
def test_an_array_that_is_not_what_the_manifest_says_is_refused(make_bundle, array):
    bundle = make_bundle()
    np.save(bundle / "golden/input-0.npy", array, allow_pickle=True)
    assert_malformed(lambda: open_all(bundle))


@pytest.mark.parametrize(
    "data",
    [
        make_archive(),
        *(b"", b"\x93NUMPY", pickle.dumps([1, 2]), b"\x93NUMPY\x01\x00\x02\x00{}"),
        *(b"PK\x03\x04", write_archive()),
        b"\x93NUMPY\x01\x00\x12\x00{'shape':((1000,),",  # brackets that no reader of Python's literals finds closed
    ],
)
@pytest.mark.parametrize("name", ["output-0.npy", "target-0.npy"])
def test_bytes_that_are_no_array_are_refused(make_bundle, data, name):
    bundle = make_bundle()
    (bundle / "golden" / name).write_bytes(data)
    assert_malformed(lambda: open_all(bundle))


def test_an_array_shorter_than_its_header_says_is_refused(make_bundle):
    bundle = make_bundle()
    path = bundle / "golden/output-0.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert_malformed(lambda: open_all(bundle))


def test_stacked_samples_are_run_one_by_one_as_they_are(make_bundle, samples):
    inputs, outputs, _ = samples
    golden = [GoldenBatch(inputs={"input": inputs[:, None]}, outputs={"logits": outputs[:, None]})]
    bundle = make_bundle(golden=golden, golden_stacked=True)
    session, arrays, manifest = open_all(bundle)
    assert arrays.read_inputs(3, 4)["input"].shape == (1, 3, 8, 8)
    evaluation = evaluate_session(session, arrays, manifest, ignore_progress)
    assert evaluation.parity[0].sqnr_db > 100
    assert evaluation.metric.deployed == 1.0


def test_a_dynamic_batch_is_fed_with_one_sample_up_to_a_whole_batch(make_bundle):
    _, golden, manifest = open_all(make_bundle())
    single, whole = (1, 3, 8, 8), (64, 3, 8, 8)
    assert golden.find_shapes(manifest.inputs) == {"input": ShapeRange(least=single, usual=single, most=whole)}


def test_a_fixed_batch_is_fed_with_itself(make_bundle, write_model):
    inputs = [TensorSpec(name="input", dtype="float32", shape=(7, 3, 8, 8))]
    model = write_model("float32", batch=7)
    _, golden, manifest = open_all(make_bundle(candidates={"float32": model}, reference=model, inputs=inputs))
    shape = (7, 3, 8, 8)
    assert golden.find_shapes(manifest.inputs) == {"input": ShapeRange(least=shape, usual=shape, most=shape)}


def test_stacked_inputs_are_fed_one_by_one_with_the_shape_that_they_have(make_bundle):
    _, golden, manifest = open_all(make_bundle())
    stacked = dataclasses.replace(golden, stacked=True, inputs={"input": golden.inputs["input"][:, None]})
    shape = (1, 3, 8, 8)
    assert stacked.find_shapes(manifest.inputs) == {"input": ShapeRange(least=shape, usual=shape, most=shape)}

import math
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

from tests.lower.conftest import parse_model, run_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower import calibration
from toolchain.lower.calibration import calibrate, choose_ranges, observe_tensors
from toolchain.lower.ranges import TensorRange
from toolchain.project.members import list_members
from toolchain.project.seams import CALIBRATION_METHODS

TENSORS = ("image", "c1", "r1", "c2", "r2", "p", "f", "scores")


@pytest.fixture
def model(residual):
    return residual


def make_batches(sizes=(1, 1, 1, 1), seed=0):
    generator = np.random.default_rng(seed)
    return [{"image": generator.standard_normal((size, 3, 8, 8)).astype(np.float32)} for size in sizes]


def calibrate_minmax(model, batches, tensors=TENSORS, **options):
    return calibrate(model, tensors, batches, method="minmax", symmetric=False, **options)


def bounds_of_onnxruntime(model, batches, folder: Path):
    """ONNX Runtime's own MinMax calibration."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    calibrator = create_calibrator(
        path, augmented_model_path=str(folder / "augmented.onnx"), calibrate_method=CalibrationMethod.MinMax
    )
    feeds = iter(batches)

    class Reader:
        def get_next(self):
            return next(feeds, None)

    calibrator.collect_data(Reader())
    return {name: data.range_value for name, data in calibrator.compute_data().items()}


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (4,), (3, 1)])
def test_minmax_is_onnxruntimes_bit_for_bit(model, tmp_path, sizes):
    theirs = bounds_of_onnxruntime(model, make_batches(), tmp_path)
    samples = np.concatenate([batch["image"] for batch in make_batches()])
    batches = [{"image": part} for part in np.split(samples, np.cumsum(sizes)[:-1])]
    for name, found in calibrate_minmax(model, batches).items():
        low, high = (float(np.ravel(bound)[0]) for bound in theirs[name])
        assert (found.low, found.high) == (min(low, 0.0), max(high, 0.0)), name


@pytest.mark.parametrize("method", list_members(CALIBRATION_METHODS))
def test_ranges_do_not_depend_on_threads_or_order(model, method):
    batches = make_batches((1, 2, 1, 3))
    expected = calibrate(model, TENSORS, batches, method=method, symmetric=False, threads=1)
    assert calibrate(model, TENSORS, batches[::-1], method=method, symmetric=False, threads=3) == expected


def test_methods_share_one_observation(model):
    observations = observe_tensors(model, TENSORS, make_batches(), counting=True)
    for method in list_members(CALIBRATION_METHODS):
        assert set(choose_ranges(observations, method=method, symmetric=True)) == set(TENSORS)


def test_batches_are_read_once_and_no_further_ahead_than_threads(model):
    produced, done, ahead = [], [], []

    def produce():
        for batch in make_batches((1,) * 12):
            produced.append(batch)
            ahead.append(len(produced) - len(done))
            yield batch

    calibrate_minmax(model, produce(), on_batch=lambda: done.append(1), threads=2)
    assert len(produced) == len(done) == 12
    assert max(ahead) <= 3  # two at work, one waiting to be given


def test_progress_is_reported_in_the_calling_thread(model):
    threads = []
    calibrate_minmax(model, make_batches(), on_batch=lambda: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()] * 4


def test_what_the_model_returns_is_handed_over_by_batch_though_no_range_of_it_is_asked_for(model):
    batches, returned = make_batches([1] * 6), {}
    observe_tensors(model, ["c1"], batches, counting=True, on_outputs=returned.__setitem__, threads=2)
    assert sorted(returned) == list(range(6))
    expected = run_model(model, batches[4])
    assert returned[4].keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(returned[4][name], array, rtol=1e-5, atol=1e-6)


def test_the_callers_model_is_left_alone(model):
    before = model.SerializeToString(deterministic=True)
    calibrate_minmax(model, make_batches())
    assert model.SerializeToString(deterministic=True) == before


def test_an_input_alone_needs_no_run(model):
    batches = make_batches()
    found = calibrate_minmax(model, batches, ["image"])["image"]
    assert found.low == min(float(batch["image"].min()) for batch in batches)


def test_a_tensor_without_elements_has_the_range_of_zero():
    model = parse_model("""
        <ir_version: 10, opset_import: ["": 21]>
        empty (float[n, 4] x) => (float[n, m] y) <int64[1] zero = {0}, int64[1] axis = {1}>
        { y = Slice(x, zero, zero, axis) }
    """)
    found = calibrate_minmax(model, [{"x": np.ones((2, 4), dtype=np.float32)}], ["y"])["y"]
    assert (found.low, found.high) == (0.0, 0.0)


def refusal(model, batches, **options):
    with pytest.raises(ToolchainError) as caught:
        calibrate(model, TENSORS, batches, **{"method": "entropy", "symmetric": False, **options})
    return caught.value


@pytest.mark.parametrize("batches", [[], iter(())])
def test_no_batches_are_refused(model, batches):
    error = refusal(model, batches)
    assert error.code == ExitCode.USAGE
    assert "empty" in error.what


@pytest.mark.parametrize(
    ("batch", "named", "expected", "found"),
    [
        ({}, "image", "image", "none"),
        ({"image": np.zeros((1, 3, 8, 8), np.float32), "mask": np.zeros(1)}, "mask", "image", "image, mask"),
        ({"image": np.zeros((1, 3, 8, 8))}, "image", "float32", "float64"),
        ({"image": np.zeros((1, 3, 8, 8), np.uint8)}, "image", "float32", "uint8"),
        ({"image": np.zeros((1, 3, 8, 9), np.float32)}, "image", "3, 8, 8", "(1, 3, 8, 9)"),
        ({"image": np.zeros((3, 8, 8), np.float32)}, "image", "3, 8, 8", "(3, 8, 8)"),
        ({"image": np.zeros((0, 3, 8, 8), np.float32)}, "image", "at least one sample", "(0, 3, 8, 8)"),
    ],
    ids=["missing", "extra", "double", "integer", "shape", "rank", "no samples"],
)
def test_a_batch_that_does_not_fit_is_refused_by_input_and_batch(model, batch, named, expected, found):
    error = refusal(model, [*make_batches((1,)), batch])
    assert error.code == ExitCode.USAGE
    assert named in error.what
    assert error.where == "batch 1"
    assert expected in error.expected
    assert found in error.found


def test_data_that_the_model_cannot_run_on_is_refused():
    model = parse_model("""
        <ir_version: 10, opset_import: ["": 21]>
        pairs (float[n, 4] x) => (float[2, 4] y) <int64[2] shape = {2, 4}>
        { y = Reshape(x, shape) }
    """)
    with pytest.raises(ToolchainError, match="fails on the samples") as caught:
        calibrate_minmax(model, [{"x": np.ones((3, 4), dtype=np.float32)}], ["y"])
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.where.startswith("batch 0")


def spoil_bias(model, value):
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "b3")
    bias = onnx.numpy_helper.to_array(weight).copy()
    bias[0] = value
    weight.CopyFrom(onnx.numpy_helper.from_array(bias, "b3"))


@pytest.mark.parametrize("method", ["minmax", "mse"])
def test_a_model_that_computes_nan_is_refused_by_tensor_and_sample(model, method):
    batches = make_batches()
    batches[2]["image"][0, 0, 0, 0] = np.nan
    error = refusal(model, batches, method=method)
    assert error.code == ExitCode.MALFORMED
    assert error.where.endswith("sample 2")
    assert error.where.startswith("tensor ")


@pytest.mark.parametrize("method", ["minmax", "mse", "entropy", "percentile"])
def test_an_infinity_sets_no_range(model, method):
    spoil_bias(model, -np.inf)
    counting = method != "minmax"
    observations = observe_tensors(model, ["scores"], make_batches(), counting=counting)
    assert observations["scores"].infinite_in == 0
    found = choose_ranges(observations, method=method, symmetric=False)["scores"]
    assert -10.0 < found.low <= 0.0 < found.high < 10.0


def test_an_unknown_method_is_refused_with_the_known(model):
    error = refusal(model, make_batches(), method="magic")
    assert error.code == ExitCode.USAGE
    assert error.expected == "one of entropy, minmax, mse, percentile"
    assert error.found == "'magic'"


def test_a_model_that_does_not_open_is_refused(model):
    model.graph.node[0].op_type = "Cnov"
    assert refusal(model, make_batches()).code == ExitCode.MALFORMED


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "no tensor 'nowhere'"), ("flat", "no tensor 'flat'")])
def test_a_name_that_no_node_makes_is_the_callers_mistake(model, name, reason):
    with pytest.raises(ValueError, match=reason):
        calibrate_minmax(model, make_batches(), [name])


def test_an_integer_tensor_is_the_callers_mistake():
    model = parse_model("""
        <ir_version: 10, opset_import: ["": 21]>
        shaped (float[n, 4] x) => (int64[2] s) { s = Shape(x) }
    """)
    with pytest.raises(ValueError, match="not a float tensor"):
        calibrate_minmax(model, [{"x": np.ones((3, 4), dtype=np.float32)}], ["s"])


@pytest.mark.parametrize(
    ("low", "high", "is_range"),
    [
        (-1.0, 2.0, True),
        (0.0, 0.0, True),
        (math.nan, 1.0, False),
        (-math.inf, 1.0, False),
        (1.0, -1.0, False),
        (1, 2, False),
    ],
)
def test_a_method_that_gives_no_range_is_refused(monkeypatch, low, high, is_range):
    own = SimpleNamespace(COUNTS=False, choose_range=lambda observation, *, symmetric: TensorRange(low=low, high=high))
    monkeypatch.setattr(calibration, "load_method", lambda name: own)
    if is_range:
        assert choose_ranges({"x": None}, method="own", symmetric=False) == {"x": TensorRange(low=low, high=high)}
        return
    refused(lambda: choose_ranges({"x": None}, method="own", symmetric=False))


@pytest.mark.parametrize("broken", [lambda observation, *, symmetric: None, lambda observation, *, symmetric: 1 / 0])
def test_a_method_that_breaks_is_refused(monkeypatch, broken):
    monkeypatch.setattr(calibration, "load_method", lambda name: SimpleNamespace(COUNTS=False, choose_range=broken))
    refused(lambda: choose_ranges({"x": None}, method="own", symmetric=False))


def refused(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "tensor x")

from dataclasses import replace

import numpy as np
import onnx
import pytest

from tests.lower.conftest import parse_model, run_model
from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower import int8, speed
from toolchain.lower.dynamic.choice import ScaleChoice
from toolchain.lower.int8 import describe_int8, lower_int8
from toolchain.lower.layer_search import LayerTime
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.task_trial import Task
from toolchain.lower.tensorrt.policy import tensorrt_policy
from toolchain.project.recipe import QuantizeSection

# A layer whose small values decide the output and whose large ones set the range: int8 has no step left for them.
SPOILED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 4] x) => (float[n, 4] y)
<float[4, 4] w1, float[4, 4] w2, float[4] huge = {1.0, 1.0, 1.0, 3000.0}, float[4] tiny = {1.0, 1.0, 1.0, 0.0}>
{
    [first] a = MatMul(x, w1)
    [stretch] b = Mul(a, huge)
    [second] c = MatMul(b, w2)
    [shrink] y = Mul(c, tiny)
}
"""


def lower(model, feeds, scheme, sqnr_db_min=20.0, kernels="onnxruntime", **options):
    options = {"choose_by_measurement": False, "calibration": "minmax", **options}
    return lower_int8(
        model,
        feeds,
        options=QuantizeSection(**options),
        policy=int8_policy(scheme, kernels=kernels),
        sqnr_db_min=sqnr_db_min,
        threads=1,
        start_steps=lambda _name, _total: lambda count=1: None,
    )


@pytest.fixture
def feeds(images):
    return [{"image": images["image"][index : index + 1]} for index in range(16)]


def test_a_good_model_is_int8_everywhere_and_keeps_its_outputs(residual, feeds, scheme):
    lowering = lower(residual, feeds, scheme)
    assert dict(lowering.kept_in_float) == {}
    assert lowering.sqnr_db["scores"] >= 20
    onnx.checker.check_model(lowering.model, full_check=True)


def test_the_best_of_all_calibration_methods_is_taken(residual, feeds, scheme):
    lowering = lower(residual, feeds, scheme, calibration="auto")
    assert set(lowering.methods_db) == {"minmax", "percentile", "entropy", "mse"}
    best = max(lowering.methods_db, key=lowering.methods_db.get)
    alone = lower(residual, feeds, scheme, calibration=best).ranges
    assert {name: (range_.low, range_.high) for name, range_ in lowering.ranges.items()} == {
        # Bounds alone are taken from the unfused model, whose last bit may differ.
        name: pytest.approx((range_.low, range_.high), rel=1e-6)
        for name, range_ in alone.items()
    }


def test_without_measurement_the_same_input_gives_the_same_bytes(residual, feeds, scheme):
    first, second = (lower(residual, feeds, scheme).model.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_layers_that_the_recipe_names_stay_in_float_with_the_reason(residual, feeds, scheme):
    lowering = lower(residual, feeds, scheme, keep_float=["conv2"])
    assert dict(lowering.kept_in_float) == {"conv2": "the recipe keeps it in float"}
    assert "w2" in {tensor.name for tensor in lowering.model.graph.initializer}


def suppress_a_class(model):
    """Give a class a bias of -inf, as a model has it that must never say it."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "b3")
    bias = onnx.numpy_helper.to_array(tensor).copy()
    bias[2] = -np.inf
    tensor.CopyFrom(onnx.numpy_helper.from_array(bias, "b3"))


def test_a_layer_with_an_infinite_bias_stays_in_float_and_the_others_are_measured(residual, feeds, scheme):
    plain_db = lower(residual, feeds, scheme, keep_float=["gemm"]).sqnr_db["scores"]
    suppress_a_class(residual)
    lowering = lower(residual, feeds, scheme)
    assert lowering.kept_in_float == {"gemm": "constant b3 holds an infinity or NaN: int8 has none"}
    assert run_model(lowering.model, feeds[0])["scores"][0, 2] == -np.inf
    assert abs(lowering.sqnr_db["scores"] - plain_db) < 6


MASKED_INSIDE = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 4, 6, 6] x, bool[n, 1, 6, 6] seen) => (float[n, 3] y)
<float[4, 4, 3, 3] w1, float[4, 4, 3, 3] w2, float[3, 4] w3, float[4, 4, 1, 1] w4, float hidden = {0.0}>
{
    [first] a = Conv<pads = [1, 1, 1, 1]>(x, w1)
    [where] b = Where(seen, a, hidden)
    [second] c = Conv<pads = [1, 1, 1, 1]>(a, w2)
    [add] d = Add(c, b)
    [relu] e = Relu(d)
    [third] h = Conv(e, w4)
    [pool] f = GlobalAveragePool(h)
    [flat] g = Flatten(f)
    [last] y = Gemm<transB = 1>(g, w3)
}
"""


def test_a_mask_inside_of_the_model_sets_no_range_and_its_reader_stays_in_float():
    model = parse_model(MASKED_INSIDE)
    hidden = next(tensor for tensor in model.graph.initializer if tensor.name == "hidden")
    hidden.CopyFrom(onnx.numpy_helper.from_array(np.float32(-np.inf), "hidden"))
    generator = np.random.default_rng(0)
    feeds = [
        {
            "x": generator.standard_normal((1, 4, 6, 6)).astype(np.float32),
            "seen": generator.random((1, 1, 6, 6)) > (0.3 if sample else -1),
        }
        for sample in range(8)
    ]
    policy = tensorrt_policy(float16=False, finish=lambda made: made)
    options = QuantizeSection(choose_by_measurement=False)
    steps = {"threads": 1, "start_steps": lambda _name, _total: lambda count=1: None}
    lowering = lower_int8(model, feeds, options=options, policy=policy, sqnr_db_min=20.0, **steps)
    assert lowering.kept_in_float == {"add": "tensor b is infinite on calibration sample 1: int8 has no infinity"}
    assert np.isfinite([bound for found in lowering.ranges.values() for bound in (found.low, found.high)]).all()
    assert lowering.sqnr_db["y"] > 20


def test_a_float_model_that_returns_nan_is_refused(residual, feeds, scheme):
    feeds[3] = {"image": np.full_like(feeds[3]["image"], np.inf)}
    with pytest.raises(ToolchainError, match=r"not a number|computes NaN") as caught:
        lower(residual, feeds, scheme)
    assert "sample 3" in caught.value.where


def test_a_name_that_no_layer_has_is_a_usage_error(residual, feeds, scheme):
    with pytest.raises(ToolchainError, match="no layer is called conv9") as caught:
        lower(residual, feeds, scheme, keep_float=["conv9"])
    assert caught.value.code == ExitCode.USAGE


@pytest.fixture
def spoiled():
    """Return the model, and samples."""
    model = parse_model(SPOILED)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w2")
    values = np.eye(4, dtype=np.float32)  # no mixing: the huge column is cut off, the others are the output
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    generator = np.random.default_rng(0)
    return model, [{"x": generator.standard_normal((1, 4)).astype(np.float32)} for _ in range(16)]


def test_a_layer_that_spoils_an_output_goes_back_to_float_and_is_named(spoiled, scheme):
    lowering = lower(*spoiled, scheme)
    assert list(lowering.kept_in_float) == ["second"]
    assert "dB" in lowering.kept_in_float["second"]
    assert lowering.sqnr_db["y"] >= 20


def test_a_model_without_a_layer_for_int8_comes_back_as_it_is(scheme):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }'
    )
    feeds = [{"x": np.ones((1, 4), np.float32)}]
    lowering = lower(model, feeds, scheme)
    assert [node.op_type for node in lowering.model.graph.node] == ["Relu"]
    np.testing.assert_array_equal(run_model(lowering.model, feeds[0])["y"], feeds[0]["x"])


def test_the_tasks_metric_decides_in_the_place_of_a_gate_of_sqnr_and_the_result_says_so(residual, scheme):
    generator = np.random.default_rng(7)
    # Of different means, so that the answers differ.
    pictures = generator.standard_normal((136, 1, 3, 8, 8)) + 3 * generator.standard_normal((136, 1, 3, 1, 1))
    feeds = [{"image": picture} for picture in pictures[:16].astype(np.float32)]
    held_out = pictures[16:].astype(np.float32)
    scores = [run_model(residual, {"image": image})["scores"] for image in held_out]
    task = Task(
        accuracy="metric",
        scoring=find_scoring(MetricSpec(name="top1", reference=None)),
        feeds=[{"image": image} for image in held_out],
        targets={"labels": np.concatenate(scores).argmax(axis=1)},
        drop_max=0.3,
    )
    steps = {"threads": 1, "start_steps": lambda _name, _total: lambda count=1: None}
    options = QuantizeSection(choose_by_measurement=False, calibration="minmax")
    policy = int8_policy(scheme)
    by_metric = lower_int8(residual, feeds, options=options, policy=policy, sqnr_db_min=150.0, task=task, **steps)
    assert by_metric.accuracy.reason is None
    assert dict(by_metric.kept_in_float) == {}
    document = describe_int8(by_metric)["accuracy"]
    assert (document["decides"], document["reason"], document["samples"]) == ("metric", None, 60)
    assert 3.0 <= document["sqnr_db_min"] < 150.0
    worthless = replace(task, drop_max=0.001)
    by_sqnr = lower_int8(residual, feeds, options=options, policy=policy, sqnr_db_min=150.0, task=worthless, **steps)
    assert set(by_sqnr.kept_in_float) == {"conv1", "conv2", "gemm"}
    assert describe_int8(by_sqnr)["accuracy"]["decides"] == "sqnr"


def test_every_counter_of_the_progress_ends_at_its_total(residual, feeds, scheme):
    counted = []

    def start_steps(name, total):
        counter = [name, 0, total]
        counted.append(counter)
        return lambda count=1: counter.__setitem__(1, counter[1] + count)

    options = QuantizeSection(choose_by_measurement=False, calibration="minmax")
    policy = int8_policy(scheme)
    lower_int8(residual, feeds, options=options, policy=policy, sqnr_db_min=150.0, threads=1, start_steps=start_steps)
    assert {"calibrate", "measure the noise of each layer"} < {name for name, _, _ in counted}
    assert all(done == total for _, done, total in counted)


def test_an_impossible_gate_leaves_every_layer_in_float(residual, feeds, scheme):
    lowering = lower(residual, feeds, scheme, sqnr_db_min=150.0)
    assert set(lowering.kept_in_float) == {"conv1", "conv2", "gemm"}
    assert not any(node.op_type == "QuantizeLinear" for node in lowering.model.graph.node)


def test_the_search_by_measurement_only_takes_layers_away(residual, feeds, scheme, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path))
    lowering = lower(residual, feeds, scheme, choose_by_measurement=True)
    assert set(lowering.kept_in_float) <= {"conv1", "conv2", "gemm"}
    assert lowering.speed.status in {"decided", "undecided"}
    assert lowering.sqnr_db["scores"] >= 20


# Two layers with equal weights round alike, and their difference is exact: with one of them in float it is noise alone.
CANCELLING = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 16] x) => (float[n, 16] y)
<float[16, 16] w1, float[16, 16] w2, float[16, 16] w3, float small = {0.01}>
{
    [first] a = MatMul(x, w1)
    [second] b = MatMul(x, w2)
    [third] c = MatMul(x, w3)
    [subtract] d = Sub(a, b)
    [shrink] e = Mul(c, small)
    [add] y = Add(d, e)
}
"""


@pytest.mark.parametrize(("faster", "expected"), [({"first"}, set()), ({"third"}, {"third"})])
def test_layers_that_speed_takes_to_float_are_judged_before_they_ship(scheme, monkeypatch, faster, expected):
    model = parse_model(CANCELLING)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    weights["w2"].CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights["w1"]), "w2"))
    generator = np.random.default_rng(0)
    feeds = [{"x": generator.standard_normal((1, 16)).astype(np.float32)} for _ in range(48)]
    layers = ("first", "second", "third")
    times = {name: LayerTime(2.0, 1.0 if name in faster else 3.0) for name in layers}
    monkeypatch.setattr(int8, "time_both", lambda *_, **__: speed.LayerTimes(times))
    monkeypatch.setattr(int8, "choose_scales", lambda policy, bench, *_, **__: ScaleChoice(policy, bench, "static", ""))
    won = tuple(faster)

    def try_sets(_bench, _keep, proposals, **_options):
        trials = tuple(
            speed.SpeedTrial(layers, 2.0, 1.9, 2.1, "faster" if layers == won else "not faster") for layers in proposals
        )
        return trials, (), next(trial for trial in trials if trial.layers == won)

    monkeypatch.setattr(speed, "_try_sets", try_sets)
    lowering = lower(model, feeds, scheme, choose_by_measurement=True)
    assert set(lowering.kept_in_float) == expected
    assert set(lowering.speed.refused) == faster - expected
    assert lowering.sqnr_db["y"] >= 20


def test_a_layer_in_float_may_move_the_shortcut_of_an_add_to_a_tensor_without_a_range():
    model = parse_model("""<ir_version: 10, opset_import: ["": 21]>
        net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y)
        <float[4, 4, 1, 1] w1, float[4, 4, 1, 1] w2, float[4, 4, 1, 1] w3, float[4, 4, 1, 1] w4>
        { [first] a = Conv(x, w1) [relu] r = Relu(a) [main] b = Conv(r, w2) [short] s = Conv(x, w3) [add] d = Add(b, s)
          [relu2] e = Relu(d) [last] y = Conv(e, w4) }""")
    generator = np.random.default_rng(0)
    feeds = [{"x": generator.standard_normal((1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    options = QuantizeSection(choose_by_measurement=False, calibration="minmax", keep_float=["main"])
    policy = tensorrt_policy(float16=False, finish=lambda made: made)
    steps = {"threads": 1, "start_steps": lambda _name, _total: lambda count=1: None}
    lowering = lower_int8(model, feeds, options=options, policy=policy, sqnr_db_min=20.0, **steps)
    assert [node.name for node in lowering.plan.nodes] == ["first", "short", "last"]


# Samples of many levels, each of which counts as much as the others: no scale of calibration fits them all.
LEVELS = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, int64[1] last = {-1}>
{ [layer] p = MatMul(x, w) [size] a = Abs(p) [most] m = ReduceMax(a, last) [level] y = Div(p, m) }
"""


@pytest.fixture
def levels():
    rng = np.random.default_rng(3)
    return [{"x": (rng.normal(size=(1, 64)) * 10.0 ** -(i % 4)).astype(np.float32)} for i in range(64)]


@pytest.mark.parametrize("kernels", ["onnxruntime", None])
def test_products_that_calibration_cannot_scale_are_int8_with_the_scale_of_each_run(levels, scheme, kernels):
    lowering = lower(parse_model(LEVELS), levels, scheme, kernels=kernels)
    document = describe_int8(lowering)
    assert document["layers"] == [{"name": "layer", "op": "MatMul", "precision": "int8", "scale": "dynamic"}]
    assert (document["kept_in_float"], document["ranges"]) == ([], {})
    assert document["product_scales"]["chosen"] == "dynamic"
    assert lowering.sqnr_db["y"] >= 20
    onnx.checker.check_model(lowering.model, full_check=True)


def test_a_layer_with_a_dynamic_scale_goes_to_float_where_it_spoils_the_outputs(levels, scheme):
    lowering = lower(parse_model(LEVELS), levels, scheme, sqnr_db_min=80.0)
    assert set(lowering.kept_in_float) == {"layer"}
    assert [node.op_type for node in lowering.model.graph.node] == ["MatMul", "Abs", "ReduceMax", "Div"]


def test_a_nan_in_front_of_a_product_is_refused_although_its_kernel_would_make_a_number_of_it(levels, scheme):
    levels[5]["x"][0, 3] = np.nan
    with pytest.raises(ToolchainError) as caught:
        lower(parse_model(LEVELS), levels, scheme)
    assert caught.value.code == ExitCode.MALFORMED
    assert "NaN" in str(caught.value)
    assert "tensor x, sample 5" in str(caught.value)


def test_a_product_that_reads_an_infinity_has_no_dynamic_scale(levels, scheme):
    model = parse_model(
        LEVELS.replace("int64[1] last", "float[64, 32] v, float[64] mask, int64[1] last").replace(
            "[level] y = Div(p, m)",
            "[level] l = Div(p, m) [hide] h = Add(x, mask) [second] q = MatMul(h, v) [exp] e = Exp(q) [join] y = Add(l, e)",
        )
    )
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    mask = np.where(np.arange(64) == 3, np.float32(-np.inf), np.float32(0))
    tensors["mask"].CopyFrom(onnx.numpy_helper.from_array(mask, "mask"))
    tensors["v"].CopyFrom(onnx.numpy_helper.from_array(np.full((64, 32), 0.1, np.float32), "v"))
    lowering = lower(model, levels, scheme)
    assert {node.name: node.scale for node in lowering.plan.nodes} == {"layer": "dynamic"}
    assert "tensor h is infinite" in lowering.kept_in_float["second"]


CELL = """
<ir_version: 10, opset_import: ["": 21]>
net (float[5, n, 24] x) => (float[n, 8] y)
<float[1, 64, 24] w, float[1, 64, 16] r, float[1, 128] b, float[16, 8] v, int64[1] first = {0}> {
    [cell] s, h, c = LSTM<hidden_size = 16>(x, w, r, b) [last] l = Squeeze(h, first) [head] y = MatMul(l, v)
}
"""


@pytest.mark.parametrize(
    ("sqnr_db_min", "kernels", "cell"),
    [(20.0, "onnxruntime", "int8"), (20.0, None, "float"), (90.0, "onnxruntime", "float")],
)
def test_a_recurrent_cell_is_int8_where_its_own_kernel_keeps_the_gate(scheme, sqnr_db_min, kernels, cell):
    rng = np.random.default_rng(3)
    samples = [{"x": rng.normal(size=(5, 1, 24)).astype(np.float32)} for _ in range(48)]
    lowering = lower(parse_model(CELL), samples, scheme, sqnr_db_min=sqnr_db_min, kernels=kernels)
    document = describe_int8(lowering)
    layers = {layer["name"]: layer["scale"] for layer in document["layers"]}
    floats = {layer["name"]: layer["op"] for layer in document["kept_in_float"]}
    assert layers.get("cell") == ("dynamic" if cell == "int8" else None)
    assert floats.get("cell") == (None if cell == "int8" else "LSTM")
    assert lowering.sqnr_db["y"] >= sqnr_db_min
    onnx.checker.check_model(lowering.model, full_check=True)

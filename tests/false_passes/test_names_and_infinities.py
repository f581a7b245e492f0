"""Numbers of the wrong tensors, numbers that a mask hides, and int8 that is asked for and silently not made.

The target board is emulated: layers are not timed, so that nothing here depends on how busy the machine is.
"""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper, parser

NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[N, 3, 12, 12] x, bool[N, 10] allowed) => (float[N, 10] y)
{
    c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    feat = Relu(c1)
    s = Mul(feat, FEAT_SCALE)
    t = Sigmoid(s)
    c2 = Conv<pads = [1, 1, 1, 1]>(feat, w2, b2)
    a = Add(t, c2)
    RAW = Relu(a)
    p = GlobalAveragePool(RAW)
    f = Flatten(p)
    l = Gemm<transB = 1>(f, w3)
    m = ReduceMean<keepdims = 1>(l, ax)
    logits = Sub(l, m)
    y = Where(allowed, logits, fill)
}
"""

# What the writers call the scale and the result of feat, and of the layers.
COLLIDING = {"FEAT_SCALE": "feat_scale", "RAW": "feat_dequantized", "b1": "feat_quantized", "b2": "x_scale"}
COLLIDING |= {
    "w1": "Conv_c1_weight_quantized",
    "m": "Gemm_l_weight_scale",
    "w2": "feat_scale_float16",
    "t": "x_float16",
}


def make_net(*, names, fill=0.0, spoiled=False):
    """Return the model; spoiled: its second convolution loses nearly everything in int8, as one channel dwarfs the rest."""
    generator = np.random.default_rng(3)

    def draw(*shape):
        return (generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    weights = {
        "w1": draw(16, 3, 3, 3),
        "b1": draw(16, 1)[:, 0] * 0.1,
        "w2": draw(16, 16, 3, 3),
        "b2": draw(16, 1)[:, 0] * 0.1,
    }
    weights |= {"w3": draw(10, 16), "ax": np.array([1]), "FEAT_SCALE": np.float32(2.5), "fill": np.float32(fill)}
    if spoiled:
        weights["b1"][2] = 900.0
        weights["w2"][:, 2] *= 1e-2
    text = NET
    for old, new in names.items():
        text = text.replace(f" {old} ", f" {new} ").replace(f"({old}", f"({new}").replace(f" {old},", f" {new},")
        text = text.replace(f" {old})", f" {new})")
    model = parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), names.get(name, name)) for name, value in weights.items()
    )
    made = {tensor.name for tensor in model.graph.initializer} | {name for n in model.graph.node for name in n.output}
    assert set(names.values()) <= made
    return model


def draw_feeds(samples=24, dtype=np.float32):
    generator = np.random.default_rng(11)
    allowed = np.ones((samples, 10), bool)
    allowed[:, 7:] = False
    return {"x": generator.standard_normal((samples, 3, 12, 12)).astype(dtype), "allowed": allowed}


@pytest.fixture
def lower(project):
    """Return what lowers a model with the real command: how it ended, the model that it made, what it says."""

    def run(model, target, precision="int8", feeds=None):
        path = project.folder / "model.onnx"
        onnx.save(model, path)
        np.savez(project.folder / "calibration.npz", **(feeds or draw_feeds()))
        result = project.run(
            *("lower", path, "--target", target, "--precision", precision, "--calibration", "calibration.npz"),
            *("-o", "out", "--quiet"),
        )
        if result.code:
            return result, None, {}
        lowered = onnx.load(project.folder / "out" / "model.onnx")
        onnx.checker.check_model(lowered, full_check=True)
        return result, lowered, json.loads((project.folder / "out" / "lowering.json").read_text())

    return run


def run_in_onnxruntime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], feeds)[0]


def measure_sqnr_db(model, lowered, feeds=None):
    """Return the SQNR of the elements that are finite, by a formula of its own; the others must be the same."""
    expected, found = (run_in_onnxruntime(net, feeds or draw_feeds()).astype(np.float64) for net in (model, lowered))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    noise = np.square(found[finite] - expected[finite]).sum()
    return 10 * np.log10(np.square(expected[finite]).sum() / noise) if noise else 200.0


@pytest.mark.parametrize("target", ["board", "jetson"])
def test_a_model_that_uses_the_writers_names_keeps_its_accuracy(lower, target):
    plain, colliding = make_net(names={}), make_net(names=COLLIDING)
    np.testing.assert_array_equal(*(run_in_onnxruntime(net, draw_feeds()) for net in (plain, colliding)))
    result, lowered, told = lower(colliding, target)
    assert result.code == 0, result.stderr
    assert len([layer for layer in told["layers"] if layer["op"] in ("Conv", "Gemm")]) == 3
    _, lowered_plain, _ = lower(plain, target)
    assert measure_sqnr_db(colliding, lowered) == pytest.approx(measure_sqnr_db(plain, lowered_plain), abs=0.1)


@pytest.mark.parametrize("target", ["board", "jetson"])
def test_a_mask_of_infinities_does_not_hide_what_int8_spoils(lower, target):
    model = make_net(names={}, fill=-np.inf, spoiled=True)
    result, lowered, told = lower(model, target)
    assert result.code == 0, result.stderr
    # 200 dB were written here, where 9 were left.
    assert max(told["calibration_sqnr_db"].values()) < 20
    # It was seen, and mended by a correction or given up.
    mended = [technique["name"] for technique in told["techniques"] if technique["kept"]]
    given_up = [layer["name"] for layer in told["kept_in_float"] if "spoils an output" in layer["reason"]]
    assert mended or given_up
    assert measure_sqnr_db(model, lowered) > 20
    assert told["sqnr_db"]["y"] == pytest.approx(measure_sqnr_db(model, lowered), abs=3)


def test_masked_logits_are_deployed_and_proven_by_what_is_finite(project, lower):
    model = make_net(names={}, fill=-np.inf)
    onnx.save(model, project.folder / "model.onnx")
    np.savez(project.folder / "calibration.npz", **draw_feeds())
    flags = ("--calibration", "calibration.npz", "--target", "board", "--out", "out", "--latency-limit-s", "0.5")
    result = project.run("deploy", "model.onnx", *flags)
    report = project.read_report(project.folder / "out")
    assert result.code == 0, result.stderr
    assert report["precision"] == "int8"
    assert [row["nonfinite"] for row in report["parity"]] == [0]
    assert 20 < report["parity"][0]["sqnr_db"] < 60


def test_a_model_that_returns_nan_is_refused_with_output_and_sample(project, lower):
    feeds = draw_feeds()
    feeds["x"][5] = 3e38  # its sums are infinite; behind the mean over all classes: inf - inf
    result, _, _ = lower(make_net(names={}, fill=-np.inf), "board", feeds=feeds)
    assert result.code == 18
    assert "output y, sample 5" in result.stderr


def halve(model):
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    return model


@pytest.mark.parametrize("target", ["board", "jetson"])
def test_a_float16_model_becomes_int8_and_that_is_said(lower, target):
    model = halve(make_net(names={}))
    feeds = draw_feeds(dtype=np.float16)
    result, lowered, told = lower(model, target, feeds=feeds)
    assert result.code == 0, result.stderr
    assert len([layer for layer in told["layers"] if layer["op"] in ("Conv", "Gemm")]) == 3
    assert "note: int8: the model's float16 was widened to float32" in result.stderr
    assert told["notes"] == [
        "the model's float16 was widened to float32 before int8; inputs and outputs keep their types"
    ]
    assert lowered.graph.input == model.graph.input
    assert lowered.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert measure_sqnr_db(model, lowered, feeds) > 20


def test_an_int8_lowering_without_an_int8_layer_says_so_with_the_reason(lower):
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[N, 4, 4] x) => (float[N, 4, 4] y) { y = MatMul(x, x) }'
    )
    feeds = {"x": np.random.default_rng(0).standard_normal((8, 4, 4)).astype(np.float32)}
    result, _, told = lower(model, "board", feeds=feeds)
    assert result.code == 0
    assert told["layers"] == []
    assert (
        "note: int8: no layer is in int8: MatMul_y (MatMul) stays in float, a product of two activations"
        in result.stderr
    )
    # From the cache too.
    assert "no layer is in int8" in lower(model, "board", feeds=feeds)[0].stderr

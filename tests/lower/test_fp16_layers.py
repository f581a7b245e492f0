import numpy as np
import onnx
import pytest

from tests.lower.conftest import parse_model, run_model
from tests.lower.vision_transformer import make_pictures, make_transformer
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.lower.fp16_layers import find_unsafe_layers, lower_fp16
from toolchain.lower.trial import open_emulated

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def ignore_steps(_name, _total):
    return lambda: None


@pytest.fixture
def feeds():
    generator = np.random.default_rng(0)
    return [{"x": generator.standard_normal((1, 4)).astype(np.float32)} for _ in range(8)]


def test_a_good_model_is_float16_everywhere(residual, images):
    samples = [{"image": images["image"][index : index + 1]} for index in range(8)]
    lowering = lower_fp16(residual, samples, sqnr_db_min=50.0, start_steps=ignore_steps)
    assert dict(lowering.kept_in_float) == {}
    assert lowering.sqnr_db["scores"] > 50


def test_layers_that_overflow_stay_in_float32_with_the_value_as_reason(feeds):
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float big = {{40000.0}}, float small = {{0.00003}}> "
        "{ [up] a = Mul(x, big) [abs] b = Abs(a) [down] c = Mul(b, small) [relu] y = Relu(c) }"
    )
    reasons = find_unsafe_layers(model, feeds, sqnr_db_min=50.0)
    assert set(reasons) == {"up", "abs", "down"}
    assert "float16 ends at 65504" in reasons["abs"]
    lowering = lower_fp16(model, feeds, sqnr_db_min=50.0, start_steps=ignore_steps)
    assert np.isfinite(run_model(emulate_float16(lowering.model), feeds[0])["y"]).all()
    assert lowering.sqnr_db["y"] > 50


def test_a_constant_that_vanishes_in_float16_keeps_its_layer_in_float32(feeds):
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float tiny = {{1e-12}}> {{ [add] a = Add(x, tiny) [relu] y = Relu(a) }}"
    )
    assert list(find_unsafe_layers(model, feeds, sqnr_db_min=50.0)) == ["add"]


def test_an_infinite_mask_is_no_overflow(feeds):
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float[4] mask> {{ [add] a = Add(x, mask) [soft] y = Softmax(a) }}"
    )
    values = np.array([0, 0, -np.inf, 0], np.float32)
    next(t for t in model.graph.initializer if t.name == "mask").CopyFrom(onnx.numpy_helper.from_array(values, "mask"))
    assert find_unsafe_layers(model, feeds, sqnr_db_min=50.0) == {}


def test_layers_that_spoil_the_output_are_found_by_the_search(feeds):
    # Both sides are near 1000 and differ by little: float16 rounds the difference away.
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float far = {{1000.0}}> "
        "{ [out] a = Add(x, far) [back] b = Sub(a, far) [relu] y = Relu(b) }"
    )
    lowering = lower_fp16(model, feeds, sqnr_db_min=60.0, start_steps=ignore_steps)
    assert {"out", "back"} == set(lowering.kept_in_float)
    assert all("dB of SQNR" in reason for reason in lowering.kept_in_float.values())
    assert lowering.sqnr_db["y"] > 60


def test_a_tiny_bias_is_no_reason(feeds):
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float[4, 4] w, float[4] b = {{1e-9, 2e-9, 3e-9, 4e-9}}> {{ [g] y = Gemm(x, w, b) }}"
    )
    assert find_unsafe_layers(model, feeds, sqnr_db_min=50.0) == {}


def count_agreeing(model, lowered, feeds):
    before, after = open_emulated(model, threads=1), open_emulated(lowered, threads=1)
    pairs = [(before.run(feed)["logits"], after.run(feed)["logits"]) for feed in feeds]
    return sum(int(wanted.argmax() == found.argmax() and np.isfinite(found).all()) for wanted, found in pairs)


def test_a_transformer_whose_written_out_normalization_overflows_keeps_it_in_float32():
    model, pictures = make_transformer(outlier=400.0), make_pictures(16)
    unseen = make_pictures(32, seed=4)
    # The published failure: the squares overflow, each token becomes the same, and the answers are by chance.
    assert count_agreeing(model, convert_to_float16(model), unseen) < len(unseen) // 2
    lowering = lower_fp16(model, pictures, sqnr_db_min=40.0, start_steps=ignore_steps)
    assert {"a_square", "a_variance", "b_square", "c_square"} <= set(lowering.kept_in_float)
    assert not {"query", "up", "down", "attend"} & set(lowering.kept_in_float)
    assert count_agreeing(model, lowering.model, unseen) >= len(unseen) - 1
    assert min(lowering.sqnr_db.values()) > 40


def test_a_transformer_that_overflows_nowhere_is_float16_everywhere():
    model, pictures = make_transformer(), make_pictures(16)
    lowering = lower_fp16(model, pictures, sqnr_db_min=40.0, start_steps=ignore_steps)
    assert dict(lowering.kept_in_float) == {}

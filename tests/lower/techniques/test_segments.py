import numpy as np
import pytest

from tests.lower.conftest import RESIDUAL, parse_model, run_model
from toolchain.lower.techniques import segments
from toolchain.lower.techniques.segments import run_in_segments

INNER = ["c1", "c2", "p", "scores"]


@pytest.fixture
def model():
    return parse_model(RESIDUAL)


@pytest.fixture
def samples(images):
    return [{"image": images["image"][index : index + 1]} for index in range(4)]


def test_each_tensor_has_the_value_that_the_whole_model_gives_it(model, samples):
    found = {name: list(values) for name, values in run_in_segments(model, samples, INNER)}
    assert list(found) == INNER
    whole = run_model(expose(model), {"image": np.concatenate([sample["image"] for sample in samples])}, INNER)
    for name in INNER:
        np.testing.assert_allclose(np.concatenate(found[name]), whole[name], atol=1e-5)


def expose(model):
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.extend(onnx.ValueInfoProto(name=name) for name in INNER if name != "scores")
    return result


def test_what_replaces_a_value_reaches_all_that_follows_and_a_shortcut_too(model, samples):
    for name, values in run_in_segments(model, samples, ["c1", "scores"]):
        if name == "c1":
            values[:] = [np.zeros_like(value) for value in values]
        last = values
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    zeros = np.zeros_like(np.frombuffer(weights["w1"].raw_data, np.float32))
    weights["w1"].raw_data = zeros.tobytes()
    weights["b1"].raw_data = np.zeros(4, np.float32).tobytes()
    for value, sample in zip(last, samples, strict=True):
        np.testing.assert_allclose(value, run_model(model, sample)["scores"], atol=1e-5)


def test_samples_that_would_take_too_much_memory_are_left_out_but_never_the_first(model, samples, monkeypatch):
    monkeypatch.setattr(segments, "_MEMORY_BYTES", 3 * 4 * 64 * 4)  # of the first tensor alone
    counts = [len(values) for _, values in run_in_segments(model, samples, INNER)]
    assert counts[0] in {2, 3}
    assert counts == sorted(counts, reverse=True)
    monkeypatch.setattr(segments, "_MEMORY_BYTES", 1)
    assert {len(values) for _, values in run_in_segments(model, samples, INNER)} == {1}


def test_samples_of_different_shapes_pass_one_segment():
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[1, t, 4] x) => (float[1, t, 2] y) <float[4, 2] w> '
        "{ [m] y = MatMul(x, w) }"
    )
    lengths = (3, 5)
    feeds = [{"x": np.ones((1, length, 4), np.float32)} for length in lengths]
    ((_, values),) = run_in_segments(model, feeds, ["y"])
    assert [value.shape for value in values] == [(1, length, 2) for length in lengths]

import io

import numpy as np
import onnx
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.bisect import bisect_layers, print_bisection
from toolchain.project.find import find_recipe, find_target
from toolchain.run.progress import Progress

# The second product has a column that sets its range and that nothing of the output needs.
SPOILED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[1, 4] x) => (float[1, 4] y)
<float[4, 4] w1, float[4, 4] w2, float[4] huge = {1.0, 1.0, 1.0, 3000.0}, float[4] tiny = {1.0, 1.0, 1.0, 0.0}>
{
    [first] a = MatMul(x, w1) [stretch] b = Mul(a, huge) [second] c = MatMul(b, w2) [shrink] y = Mul(c, tiny)
}
"""
# Near 1000, float16 has steps of 0.5.
ROUNDED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[1, 4] x) => (float[1, 4] y) <float[4] far, float[4] wide>
{ [scale] s = Mul(x, wide) [out] a = Add(s, far) [back] b = Sub(a, far) [last] y = Sigmoid(b) }
"""


@pytest.fixture
def bisect(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))

    def run(text, target, precision, sqnr_db_min=None):
        model = onnx.parser.parse_model(text)
        values = {"w1": np.eye(4), "w2": 2 * np.eye(4), "far": np.full(4, 1000), "wide": np.full(4, 1.5)}
        made = {name for node in model.graph.node for name in node.output}
        for value in [value for value in model.graph.value_info if value.name not in made]:
            model.graph.initializer.append(
                onnx.numpy_helper.from_array(values[value.name].astype(np.float32), value.name)
            )
            model.graph.value_info.remove(value)
        onnx.save(model, tmp_path / "net.onnx")
        samples = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)
        np.savez(tmp_path / "data.npz", x=samples)
        recipe = find_recipe(str(tmp_path / "net.onnx"), calibration=tmp_path / "data.npz")
        with Progress(stream=io.StringIO(), quiet=True) as progress:
            return bisect_layers(
                recipe, find_target(target, precision=precision), sqnr_db_min=sqnr_db_min, progress=progress
            )

    return run


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_layer_that_spoils_int8_is_found_for_both_runtimes(bisect, target):
    found = bisect(SPOILED, target, "int8")
    assert found["passed"]
    assert [layer["op"] for layer in found["keep"]] == ["MatMul"]
    assert found["sqnr_db"]["y"] >= 20


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_nothing_is_kept_where_the_gate_is_low(bisect, target):
    assert bisect(SPOILED, target, "int8", sqnr_db_min=-150.0)["keep"] == []


def test_the_layers_that_float16_rounds_away_are_found(bisect):
    found = bisect(ROUNDED, "gpu", "fp16")
    assert found["passed"]
    assert {layer["op"] for layer in found["keep"]} == {"Add", "Sub"}


def test_float32_is_a_usage_error(bisect):
    with pytest.raises(ToolchainError) as caught:
        bisect(ROUNDED, "gpu", "float32")
    assert caught.value.code == ExitCode.USAGE


def test_the_text_names_layers_reasons_and_outputs():
    found = {
        "precision": "int8",
        "sqnr_db_min": 20.0,
        "sqnr_db": {"y": 31.04},
        "keep": [{"name": "second", "op": "MatMul", "reason": "spoils an output"}],
    }
    stream = io.StringIO()
    print_bisection(found, stream=stream)
    assert stream.getvalue().splitlines() == [
        "1 layer stays above int8; the gate is 20 dB",
        "  second (MatMul): spoils an output",
        "output y: 31.0 dB",
    ]

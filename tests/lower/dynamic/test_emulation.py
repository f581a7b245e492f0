import numpy as np
import onnx
import onnxruntime
import pytest

from tests.lower.conftest import parse_model, run_model
from tests.lower.dynamic.conftest import HEAD
from tests.lower.dynamic.test_write import make_dynamic
from toolchain.lower.dynamic.emulation import emulate_integer_products
from toolchain.lower.trial import open_emulated


def test_the_sums_are_those_of_the_integers(attention, sequences, scheme):
    written = make_dynamic(attention, scheme)
    emulated = emulate_integer_products(written)
    onnx.checker.check_model(emulated, full_check=True)
    assert "MatMulInteger" not in {node.op_type for node in emulated.graph.node}
    np.testing.assert_allclose(
        run_model(emulated, sequences[0])["y"], run_model(written, sequences[0])["y"], rtol=1e-4, atol=1e-4
    )


def test_a_trial_for_another_cpu_computes_without_integer_kernels(attention, sequences, scheme, monkeypatch):
    opened = []
    original = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda source, *rest, **more: opened.append(source) or original(source, *rest, **more),
    )
    open_emulated(make_dynamic(attention, scheme), threads=1)
    (source,) = opened
    assert b"MatMulInteger" not in source
    assert b"DynamicQuantizeLinear" in source


@pytest.mark.parametrize("inputs", ["x, w", "x, w, z, v"])
def test_products_of_others_are_left_alone(inputs):
    model = parse_model(
        HEAD + "g (uint8[n, 4] x, uint8 z) => (int32[n, 4] y) <int8 v = {3}, int8[4, 4] w = "
        f"{{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}}> {{ [one] y = MatMulInteger({inputs}) }}"
    )
    assert emulate_integer_products(model) is model

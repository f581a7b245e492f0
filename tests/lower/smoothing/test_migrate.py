import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.smoothing.conftest import HEAD, make_block
from toolchain.lower.smoothing.migrate import find_groups, migrate

FACTORS = np.exp2(np.random.default_rng(3).integers(-6, 7, 32)).astype(np.float32)


def migrate_all(model, factors=FACTORS):
    groups = find_groups(model)
    migrated, multiplied = migrate(model, groups, dict.fromkeys(groups, factors))
    onnx.checker.check_model(migrated, full_check=True)
    return migrated, multiplied


def compute_in_torch(constants, x, *, residual):
    tensors = {name: torch.from_numpy(value.copy()) for name, value in constants.items()}
    h = torch.nn.functional.layer_norm(torch.from_numpy(x), (32,), tensors["gamma"], tensors["beta"], 1e-5)
    d = ((h @ tensors["up"]) * torch.sigmoid(h @ tensors["gate"])) @ tensors["down"]
    return (d + h if residual else d).numpy()


@pytest.mark.parametrize("residual", [False, True])
def test_the_float_model_returns_what_pytorch_does_before_and_after(residual, feeds):
    model, constants = make_block(outliers=True, residual=residual)
    migrated, multiplied = migrate_all(model)
    x = feeds[0]["x"]
    expected = compute_in_torch(constants, x, residual=residual)
    before, after = run_model(model, {"x": x})["y"], run_model(migrated, {"x": x})["y"]
    scale = np.abs(expected).max()
    assert np.abs(before - expected).max() < 1e-5 * scale
    assert np.abs(after - expected).max() < 1e-5 * scale
    # A normalized tensor that is a residual too keeps its values; elsewhere the normalization itself divides.
    assert multiplied == (("h",) if residual else ())
    assert ("Mul" in {node.op_type for node in migrated.graph.node if node.name != "gated"}) is residual


def test_what_the_products_read_is_divided_and_their_weights_are_multiplied(feeds):
    model, constants = make_block(outliers=True)
    migrated, _ = migrate_all(model)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in migrated.graph.initializer}
    np.testing.assert_array_equal(tensors["up"], constants["up"] * FACTORS[:, None])
    np.testing.assert_array_equal(tensors["gate"], constants["gate"] * FACTORS[:, None])
    np.testing.assert_array_equal(tensors["down"], constants["down"])
    x = feeds[0]
    before, after = (run_model(made, x, ["h"])["h"] for made in map(expose, (model, migrated)))
    np.testing.assert_allclose(after * FACTORS, before, rtol=1e-6, atol=1e-6)


def expose(model):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.append(onnx.ValueInfoProto(name="h"))
    return result


def test_the_users_model_is_not_changed():
    model, _ = make_block(outliers=True)
    before = model.SerializeToString(deterministic=True)
    migrate_all(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_gemm_whose_weight_is_turned_and_an_affine_of_mul_and_add_are_divided_too():
    model = parse_model(
        HEAD + "g (float[n, 32] x) => (float[n, 16] y) <float[32] gamma, float[32] beta, float[16, 32] w, float[16] b> "
        "{ [scale] m = Mul(gamma, x) [shift] h = Add(m, beta) [layer] y = Gemm<transB = 1>(h, w, b) }"
    )
    migrated, multiplied = migrate_all(model)
    assert multiplied == ()
    assert [node.op_type for node in migrated.graph.node] == ["Mul", "Add", "Gemm"]
    x = {"x": np.random.default_rng(2).normal(size=(4, 32)).astype(np.float32)}
    np.testing.assert_allclose(run_model(migrated, x)["y"], run_model(model, x)["y"], rtol=1e-5, atol=1e-5)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in migrated.graph.initializer}
    original = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    np.testing.assert_array_equal(tensors["w"], numpy_helper.to_array(original) * FACTORS)


def test_a_gamma_that_two_normalizations_share_is_divided_for_the_one_alone():
    model = parse_model(
        HEAD + "g (float[n, 32] x) => (float[n, 16] y, float[n, 32] z) <float[32] gamma, float[32, 16] w> "
        "{ [one] h = LayerNormalization(x, gamma) [layer] y = MatMul(h, w) [r] r = Relu(x) "
        "[two] z = LayerNormalization(r, gamma) }"
    )
    migrated, multiplied = migrate_all(model)
    assert multiplied == ()
    x = {"x": np.random.default_rng(2).normal(size=(4, 32)).astype(np.float32)}
    before, after = run_model(model, x), run_model(migrated, x)
    np.testing.assert_array_equal(after["z"], before["z"])
    np.testing.assert_allclose(after["y"], before["y"], rtol=1e-5, atol=1e-5)


def test_a_normalized_tensor_that_is_an_output_keeps_its_values():
    model = parse_model(
        HEAD + "g (float[n, 32] x) => (float[n, 16] y, float[n, 32] h) <float[32] gamma, float[32, 16] w> "
        "{ [one] h = LayerNormalization(x, gamma) [layer] y = MatMul(h, w) }"
    )
    migrated, multiplied = migrate_all(model)
    assert multiplied == ("h",)
    x = {"x": np.random.default_rng(2).normal(size=(4, 32)).astype(np.float32)}
    before, after = run_model(model, x), run_model(migrated, x)
    np.testing.assert_array_equal(after["h"], before["h"])
    np.testing.assert_array_equal(after["y"], before["y"])


@pytest.mark.parametrize(
    "body",
    [
        "[act] h = Gelu(x) [layer] y = MatMul(h, w)",
        "[layer] y = MatMul(x, w)",
        (
            "[norm] h = LayerNormalization(x, gamma) [layer] a = MatMul(h, w) [more] b = Relu(x) [other] c = MatMul(b, w) "
            "[join] y = Add(a, c)"
        ),
        "[norm] h = LayerNormalization<axis = 0>(x, whole) [layer] y = MatMul(h, w)",
    ],
    ids=["behind a gelu", "an input", "a weight of two products", "a normalization of all axes"],
)
def test_what_can_not_be_divided_by_channel_is_no_group(body):
    whole = ", float[4, 32] whole" if "whole" in body else ""
    gamma = ", float[32] gamma" if "gamma" in body else ""
    text = f"g (float[4, 32] x) => (float[4, 16] y) <float[32, 16] w{gamma}{whole}> {{ {body} }}"
    assert find_groups(parse_model(HEAD + text)) == {}

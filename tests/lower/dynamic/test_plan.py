import pytest

from tests.lower.conftest import parse_model
from tests.lower.dynamic.conftest import HEAD
from toolchain.lower.dynamic.plan import find_dynamic, plan_dynamic, split_plan
from toolchain.lower.runtimes.onnxruntime import plan_int8

LAYERS = {"query", "key", "value", "join"}


def name_dynamic(model, keep_float=frozenset()):
    return {node.name for node in split_plan(plan_dynamic(plan_int8, model, keep_float))[1].nodes}


def test_products_with_a_constant_are_dynamic_and_products_of_two_activations_are_not(attention):
    assert name_dynamic(attention) == LAYERS


def test_a_layer_that_must_stay_in_float_is_in_neither_part_of_the_plan(attention):
    plan = plan_dynamic(plan_int8, attention, frozenset({"key"}))
    assert {node.name for node in plan.nodes} == LAYERS - {"key"}


def test_dynamic_products_ask_for_no_range(attention):
    assert plan_dynamic(plan_int8, attention, frozenset()).tensors == ()
    assert plan_int8(attention).tensors != ()


def test_convolutions_stay_static_and_what_only_a_dynamic_product_reads_is_left_in_float(residual):
    static, dynamic = split_plan(plan_dynamic(plan_int8, residual, frozenset()))
    assert [node.name for node in dynamic.nodes] == ["gemm"]
    assert {node.name for node in static.nodes} == {"conv1", "conv2"}
    assert {"pool", "reshape"} <= {node.name for node in plan_int8(residual).nodes}


def test_layers_of_one_weight_are_dynamic_together_and_go_to_float_together():
    model = parse_model(
        HEAD + "g (float[n, 8] x) => (float[n, 8] y) <float[8, 8] w> "
        "{ [one] a = MatMul(x, w) [act] b = Relu(a) [two] y = MatMul(b, w) }"
    )
    plan = plan_dynamic(plan_int8, model, frozenset())
    assert plan.deciding_layers == {"one": ("one", "two")}
    assert plan_dynamic(plan_int8, model, frozenset({"one"})).nodes == ()


def test_a_weight_that_an_embedding_reads_too_is_left_to_the_static_plan():
    model = parse_model(
        HEAD + "g (int64[n] ids, float[n, 16] x) => (float[n, 16] e, float[n, 8] y) <float[16, 8] w, float[8, 16] v> "
        "{ [gather] r = Gather(w, ids) [project] y = MatMul(x, w) [other] e = MatMul(r, v) }"
    )
    assert set(find_dynamic(model)) == {"other"}
    static, _ = split_plan(plan_dynamic(plan_int8, model, frozenset()))
    assert [node.name for node in static.nodes] == ["project"]


def test_a_weight_that_is_turned_for_one_product_and_not_for_the_other_is_not_dynamic():
    model = parse_model(
        HEAD + "g (float[n, 8] x) => (float[n, 8] y) <float[8, 8] w, float[8] b> "
        "{ [one] a = MatMul(x, w) [two] y = Gemm<transB = 1>(a, w, b) }"
    )
    assert find_dynamic(model) == {}


def test_a_constant_of_many_matrices_is_no_dynamic_product():
    model = parse_model(
        HEAD + "g (float[2, n, 8] x) => (float[2, n, 8] y) <float[2, 8, 8] w> { [one] y = MatMul(x, w) }"
    )
    assert find_dynamic(model) == {}


@pytest.mark.parametrize(("inputs", "is_dynamic"), [(65_793, True), (65_794, False)])
@pytest.mark.parametrize("op", ["MatMul(x, w)", "Gemm<transB = 1>(x, w)"])
def test_a_product_whose_sum_could_leave_int32_is_not_dynamic(inputs, is_dynamic, op):
    dims = f"{inputs}, 1" if op.startswith("MatMul") else f"1, {inputs}"
    model = parse_model(HEAD + f"g (float[n, {inputs}] x) => (float[n, 1] y) <float[{dims}] w> {{ [layer] y = {op} }}")
    assert (set(find_dynamic(model)) == {"layer"}) is is_dynamic
    assert (inputs * 255 * 128 < 2**31) is is_dynamic

import pytest

from toolchain.graph.safety.opsets import check_opsets

RELU = "g (float[N] x) => (float[N] y) { y = Relu (x) }"
LOCAL_F = '<domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Relu (a) }'


def test_operators_of_onnx_of_onnxruntime_and_of_the_model_itself_pass(parse):
    check_opsets(parse("g (float[N] x) => (float[N] y) { t = local.f (x) y = com.microsoft.Gelu (t) }" + LOCAL_F), "m")


def test_an_operator_of_an_unknown_domain_is_refused(parse, refuse):
    assert "other.Magic" in refuse(check_opsets, parse("g (float[N] x) => (float[N] y) { y = other.Magic (x) }"))


@pytest.mark.parametrize("version", [-5, 0, 99, 10**9])
def test_an_opset_that_onnx_does_not_know_is_refused(parse, refuse, version):
    model = parse(RELU)
    model.opset_import[0].version = version
    assert str(version) in refuse(check_opsets, model)


def test_an_opset_of_another_domain_of_onnx_is_held_to_its_own_versions(parse, refuse):
    model = parse(RELU)
    model.opset_import.add(domain="ai.onnx.ml", version=3)
    check_opsets(model, "model.onnx")
    model.opset_import[-1].version = 22
    assert "found 22" in refuse(check_opsets, model)


def test_an_opset_of_a_function_is_checked_too(parse, refuse):
    model = parse("g (float[N] x) => (float[N] y) { y = local.f (x) }" + LOCAL_F)
    model.functions[0].opset_import[0].version = 99
    assert "found 99" in refuse(check_opsets, model)


@pytest.mark.parametrize("domain", ["", "ai.onnx", "com.microsoft"])
def test_two_versions_of_one_operator_set_are_refused(parse, refuse, domain):
    model = parse(RELU)
    model.opset_import.add(domain=domain, version=9)
    assert "two versions" in refuse(check_opsets, model)

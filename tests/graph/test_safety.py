import pytest
from onnx import TensorProto, parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.safety import check_model

HEADER = '<ir_version: 10, opset_import: ["" : 21, "local" : 1, "other" : 1, "com.microsoft" : 1]>'


def check(text: str) -> None:
    check_model(parser.parse_model(HEADER + text), "model.onnx")


def refuse(text: str) -> str:
    with pytest.raises(ToolchainError) as caught:
        check(text)
    assert caught.value.code == ExitCode.MALFORMED
    return str(caught.value)


def test_a_sound_model_passes():
    check("g (float[N, 4] x) => (float[N, 4] y) { t = local.f (x) y = com.microsoft.Gelu (t) }" + LOCAL_F)


LOCAL_F = '<domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Relu (a) }'


@pytest.mark.parametrize("version", [0, 99])
def test_an_opset_that_onnx_does_not_know_is_refused(version):
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {version}]> g (float[N] x) => (float[N] y) {{ y = Relu (x) }}'
    )
    with pytest.raises(ToolchainError) as caught:
        check_model(model, "model.onnx")
    assert caught.value.code == ExitCode.MALFORMED
    assert str(version) in (caught.value.found or "")


def test_an_operator_of_an_unknown_domain_is_refused():
    assert "other.Magic" in refuse("g (float[N] x) => (float[N] y) { y = other.Magic (x) }")


def test_what_the_checker_refuses_is_refused():
    assert "checker" in refuse("g (float[N] x) => (float[N] y) { y = Relu <alpha = 1.0> (x) }")


def test_a_tensor_of_no_known_type_is_refused():
    model = parser.parse_model(HEADER + "g (float[N] x) => (float[N] y) <float[1] w = {1}> { y = Add (x, w) }")
    model.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=99, dims=[1], raw_data=b"1234"))
    with pytest.raises(ToolchainError, match="no known type"):
        check_model(model, "model.onnx")


def test_functions_that_call_each_other_in_a_circle_are_refused():
    functions = "".join(
        f'<domain: "local", opset_import: ["" : 21, "local" : 1]> {name} (a) => (b) {{ b = local.{callee} (a) }}'
        for name, callee in (("f", "g"), ("g", "f"))
    )
    assert "calls itself" in refuse("m (float[N] x) => (float[N] y) { y = local.f (x) }" + functions)


def test_functions_that_multiply_are_refused():
    functions = "".join(
        f'<domain: "local", opset_import: ["" : 21, "local" : 1]> f{level} (a) => (b)'
        f"{{ t = local.f{level + 1} (a) b = local.f{level + 1} (t) }}"
        for level in range(40)
    )
    functions += '<domain: "local", opset_import: ["" : 21]> f40 (a) => (b) { b = Relu (a) }'
    assert "multiply" in refuse("m (float[N] x) => (float[N] y) { y = local.f0 (x) }" + functions)


@pytest.mark.parametrize("maker", ["ConstantOfShape (s)", "Expand (x, s)"])
def test_a_tensor_that_no_board_can_hold_is_refused(maker):
    graph = "g (float[1] x) => (float[A, B, C] y) <int64[3] s = {100000, 100000, 1000}>"
    assert "too large" in refuse(f"{graph} {{ t = {maker} y = Relu (t) }}")

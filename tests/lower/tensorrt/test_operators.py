import pytest

from tests.lower.conftest import parse_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.tensorrt.operators import SUPPORTED, check_operators
from toolchain.lower.tensorrt.opset import lower_opset

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def refuse(text):
    with pytest.raises(ToolchainError) as caught:
        check_operators(parse_model(f"{HEAD} {text}"))
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert caught.value.fix
    return caught.value


def test_a_graph_of_supported_operators_passes(residual):
    check_operators(residual)


def test_an_unsupported_operator_is_refused_with_its_node():
    error = refuse("net (float[n, 4] x) => (float[n, 4] y) { [odd] y = Bernoulli(x) }")
    assert error.where == "node odd (Bernoulli)"
    assert error.found == "Bernoulli"


def test_an_unsupported_operator_in_a_branch_is_refused():
    error = refuse(
        """
        net (float[n, 4] x, bool f) => (float[n, 4] y)
        {
            [if] y = If (f) <
                then_branch = a () => (float[n, 4] b) { [odd] b = Bernoulli(x) },
                else_branch = c () => (float[n, 4] d) { [neg] d = Neg(x) }
            >
        }
        """
    )
    assert error.where == "node odd (Bernoulli)"


def test_an_operator_of_another_domain_is_refused():
    text = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]> net (float[n, 4] x) => (float[n, 4] y) { [g] y = com.microsoft.FastGelu(x) }'
    import onnx

    with pytest.raises(ToolchainError) as caught:
        check_operators(onnx.parser.parse_model(text))
    assert caught.value.found == "com.microsoft.FastGelu"


def test_restricted_uses_are_refused():
    pooled = "MaxPool<kernel_shape = [2, 2], dilations = [2, 2]>"
    assert (
        "dilations" in refuse(f"net (float[n, 1, 8, 8] x) => (float[n, 1, 6, 6] y) {{ [p] y = {pooled}(x) }}").expected
    )
    resized = 'Resize<mode = "cubic">'
    error = refuse(
        f"net (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) <float[4] s = {{1.0, 1.0, 2.0, 2.0}}> {{ [r] y = {resized}(x, , s) }}"
    )
    assert "linear" in error.expected


def test_plain_uses_of_the_restricted_operators_pass():
    check_operators(
        parse_model(
            f"{HEAD} net (float[n, 1, 8, 8] x) => (float[n, 1, 4, 4] y) {{ [p] y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }}"
        )
    )


def test_every_name_in_the_table_is_an_operator_of_onnx():
    import onnx

    assert {schema.name for schema in onnx.defs.get_all_schemas_with_history()} >= SUPPORTED


def test_a_model_is_stated_in_opset_20_and_not_changed(residual):
    assert residual.opset_import[0].version == 21
    lowered = lower_opset(residual)
    assert lowered.opset_import[0].version == 20
    assert residual.opset_import[0].version == 21
    assert list(lowered.graph.node) == list(residual.graph.node)


def test_an_older_model_comes_back_itself():
    model = parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }'
    )
    assert lower_opset(model) is model


def test_an_operator_that_opset_20_lacks_is_refused():
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 23]> net (float[n, 4] x) => (float[n, 4] y) <float[4] s> { [r] y = RMSNormalization(x, s) }'
    )
    with pytest.raises(ToolchainError, match="RMSNormalization") as caught:
        lower_opset(model)
    assert caught.value.code == ExitCode.INCOMPATIBLE


def test_an_operator_whose_meaning_changed_is_refused():
    model = parse_model(
        f"{HEAD.replace('20', '21')} net (float[n, 4, 2, 2] x) => (float[n, 4, 2, 2] y) <float[4] s, float[4] b> "
        "{ [g] y = GroupNormalization<num_groups = 2>(x, s, b) }"
    )
    with pytest.raises(ToolchainError, match="opset 21") as caught:
        lower_opset(model)
    assert "GroupNormalization at node g" in caught.value.found

"""Operator sets and operators that nobody defines."""

from pathlib import Path

import onnx
from onnx import helper

from tests.hostile_models.family import Family
from tests.hostile_models.parts import conv, model, node

FAMILY = Family(
    "opsets",
    lambda _: model(
        [conv(made="t"), node("QuickGelu", ["t"], ["out"], domain="com.microsoft")], domains=[("com.microsoft", 1)]
    ),
)

for _version in (-(2**63), -5, 0, 99, 10**9):
    FAMILY.add(
        f"version_{_version}", "a version that there is not", lambda _, version=_version: model([conv()], opset=version)
    )
FAMILY.add("twice", "two versions of one set", lambda _: model([conv()], domains=[("", 9)]))
FAMILY.add("twice_by_another_name", "two versions of one set", lambda _: model([conv()], domains=[("ai.onnx", 9)]))
FAMILY.add("ir_version_huge", "a format that there is not", lambda _: model([conv()], ir_version=10**9))
FAMILY.add("ir_version_negative", "a format that there is not", lambda _: model([conv()], ir_version=-1))
FAMILY.add(
    "operator_unknown", "an operator that there is not", lambda _: model([node("NoSuchThing", ["input"], ["out"])], [])
)
FAMILY.add("operator_empty", "a node of no operator", lambda _: model([node("", ["input"], ["out"])], []))
FAMILY.add(
    "operator_of_onnxruntime_unknown",
    "an operator that ONNX Runtime has not",
    lambda _: model(
        [node("NoSuchThing", ["input"], ["out"], domain="com.microsoft")], [], domains=[("com.microsoft", 1)]
    ),
)
FAMILY.add(
    "domain_unknown",
    "an operator of a library that would have to be loaded",
    lambda _: model([node("Run", ["input"], ["out"], domain="evil.lib")], [], domains=[("evil.lib", 1)]),
)
FAMILY.add(
    "domain_not_stated",
    "an operator of a set that the model does not name",
    lambda _: model([node("Run", ["input"], ["out"], domain="evil.lib")], []),
)
FAMILY.add(
    "ml_version_huge",
    "a version of another set that there is not",
    lambda _: model([node("Normalizer", ["input"], ["out"], domain="ai.onnx.ml")], [], domains=[("ai.onnx.ml", 10**9)]),
)


@FAMILY.kind("no operator set at all")
def _none(_: Path) -> onnx.ModelProto:
    made = model([conv()])
    made.ClearField("opset_import")
    return made


@FAMILY.kind("an operator as it was ten versions later")
def _operator_of_later(_: Path) -> onnx.ModelProto:
    return model([node("GroupNormalization", ["input", "w", "w"], ["out"], num_groups=1)], opset=7, ir_version=4)


def _make_function(name: str, body: list[onnx.NodeProto], *, opset: int = 21) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["b"], body, opsets)


def _call(name: str, functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    call = node(name, ["t"], ["out"], domain="local")
    return model([conv(made="t"), call], functions=functions, domains=[("local", 1)])


def _write_body(callee: str, times: int) -> list[onnx.NodeProto]:
    names = ["a", *(f"t{index}" for index in range(times - 1)), "b"]
    domain = "" if callee == "Relu" else "local"
    return [node(callee, [names[index]], [names[index + 1]], domain=domain) for index in range(times)]


def _make_chain(levels: int, times: int) -> onnx.ModelProto:
    functions = [_make_function("f0", _write_body("Relu", times))]
    functions += [_make_function(f"f{level}", _write_body(f"f{level - 1}", times)) for level in range(1, levels)]
    return _call(f"f{levels - 1}", functions)


FUNCTIONS = Family("functions", lambda _: _make_chain(4, 3))
FUNCTIONS.add("chain_3000", "calls within calls, beyond every stack", lambda _: _make_chain(3000, 1))
FUNCTIONS.add("doubles_20", "a million nodes once inlined", lambda _: _make_chain(20, 2))
FUNCTIONS.add("tens_40", "10^40 nodes once inlined", lambda _: _make_chain(40, 10))
FUNCTIONS.add("itself", "a call of itself", lambda _: _call("f", [_make_function("f", _write_body("f", 1))]))
FUNCTIONS.add(
    "circle",
    "two that call each other",
    lambda _: _call("f", [_make_function("f", _write_body("g", 1)), _make_function("g", _write_body("f", 1))]),
)
FUNCTIONS.add(
    "circle_uncalled",
    "a circle that nobody calls, and that tools inline all the same",
    lambda _: _call("f", [_make_function("f", _write_body("Relu", 1)), _make_function("g", _write_body("g", 1))]),
)
FUNCTIONS.add(
    "twice",
    "two of one name: which is it?",
    lambda _: _call("f", [_make_function("f", _write_body("Relu", times)) for times in (1, 2)]),
)
FUNCTIONS.add(
    "opset_of_another_version",
    "a body of an operator set that there is not",
    lambda _: _call("f", [_make_function("f", _write_body("Relu", 1), opset=99)]),
)
FUNCTIONS.add(
    "reads_nothing",
    "a body that reads what nobody gives it",
    lambda _: _call("f", [_make_function("f", [node("Relu", ["nowhere"], ["b"])])]),
)
FUNCTIONS.add(
    "makes_nothing",
    "a body that does not make its output",
    lambda _: _call("f", [_make_function("f", [node("Relu", ["a"], ["c"])])]),
)


@FUNCTIONS.kind("a circle through the branch of an If")
def _circle_in_branch(_: Path) -> onnx.ModelProto:
    branches = [
        helper.make_graph(
            [node(name, ["a"], [made], domain=domain)], made, [], [helper.make_tensor_value_info(made, 1, None)]
        )
        for name, made, domain in (("f", "y", "local"), ("Relu", "z", ""))
    ]
    body = [
        node("ReduceMax", ["a"], ["most"], keepdims=0),
        node("IsNaN", ["most"], ["is_nan"]),
        node("If", ["is_nan"], ["b"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return _call("f", [_make_function("f", body)])

"""What every ONNX pass must hold: it computes the same, changes nothing that came, and says what it did or why not."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.contracts.claims import find_broken_claims, pair_claims
from tests.contracts.outside import write_plugin
from tests.optimize.conftest import make_batch, parse_model
from toolchain.optimize import PASSES, optimize
from toolchain.project import seams
from toolchain.project.members import find_member, list_members, load_member

MEMBERS = list(list_members(seams.PASSES))

# A model in which each pass has something to do; w and v are random.
_ACTS = {
    "fold_input": (
        "g (uint8[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y)"
        " <float[4, 3, 3, 3] w, int64[3] p = {2, 1, 0}, float two = {2.0}, float[3, 1, 1] m>"
        " { [a] f = Cast <to = 1> (x) [b] g = Gather <axis = 1> (f, p) [c] s = Mul (g, two) [d] t = Add (s, m)"
        " [e] y = Conv (t, w) }"
    ),
    "fold_scalar_into_conv": (
        "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) <float[4, 3, 3, 3] w, float two = {2.0}>"
        " { [a] t = Conv (x, w) [b] y = Mul (t, two) }"
    ),
    "global_average_pool": (
        "g (float[N, 3, 8, 8] x) => (float[N, 3] y) <int64[2] axes = {2, 3}>"
        " { [a] y = ReduceMean <keepdims = 0> (x, axes) }"
    ),
    "hard_swish": (
        "g (float[N, 4] x) => (float[N, 4] y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}>"
        " { [a] t = Add (x, three) [b] c = Clip (t, zero, six) [c] m = Mul (x, c) [d] y = Div (m, six) }"
    ),
    "lift_constants": "g (float[N] x) => (float[N] y) { [a] c = Constant <value = float {3.0}> () [b] y = Add (x, c) }",
    "name_nodes": "g (float[N] x) => (float[N] y) { y = Relu (x) }",
    "plain_products": "g (float[N, 4] x) => (float[N, 5] y) <float[4, 5] w> { [a] y = Gemm <alpha = 0.5> (x, w) }",
    "raise_opset": "g (float[N] x) => (float[N] y) { [a] y = Relu (x) }",
    "share_weights": (
        "g (float[N, 32] x) => (float[N, 32] y) <float[32, 32] w, float[32, 32] v>"
        " { [a] t = MatMul (x, w) [b] y = MatMul (t, v) }"
    ),
    "simplify": "g (float[N] x) => (float[N] y) { [a] t = Identity (x) [b] y = Relu (t) }",
}
_INLINED = (
    '<ir_version: 10, opset_import: ["" : 21, "local" : 1]> g (float[N] x) => (float[N] y) { [a] y = local.twice (x) } '
    '<domain: "local", opset_import: ["" : 21]> twice (a) => (b) { b = Add (a, a) }'
)

# A model in which no pass has anything to do, and a word of the reason that each gives.
_IDLE = "g (float[N] x) => (float[N] y) { [a] y = Relu (x) }"
_REASONS = {
    "fold_input": "no Conv that alone reads what becomes of an input of whole numbers",
    "fold_scalar_into_conv": "no Conv in the model",
    "global_average_pool": "no ReduceMean",
    "hard_swish": "no Add, Clip, Mul and Div in the model",
    "inline_functions": "no functions",
    "lift_constants": "no Constant",
    "name_nodes": "every node has a name",
    "plain_products": "no Gemm and no MatMul",
    "raise_opset": "it is in opset 21",
    "share_weights": "no two weights",
    "simplify": "nothing to do",
}


def load(name):
    return load_member(find_member(seams.PASSES, name))


def build_acting(name):
    """Return the model in which a pass acts; one of nobody's makes its own."""
    if name == "inline_functions":
        return onnx.parser.parse_model(_INLINED)
    model = parse_model(_ACTS.get(name, _ACTS["simplify"]), opset=17 if name == "raise_opset" else 21)
    if name == "share_weights":
        w = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
        v = next(tensor for tensor in model.graph.initializer if tensor.name == "v")
        v.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(w), "v"))
    return model


def it_acts_and_says_what_it_did(name):
    applied = load(name).apply(build_acting(name))
    assert applied.model != build_acting(name)
    assert applied.report


def it_computes_the_same(name):
    model = build_acting(name)
    rewritten = load(name).apply(model).model
    for seed in range(3):
        batch = make_batch(model, seed)
        expected, found = (run(one, batch) for one in (model, rewritten))
        assert expected.keys() == found.keys()
        for output, array in expected.items():
            np.testing.assert_allclose(found[output], array, rtol=1e-4, atol=1e-5)


def it_leaves_the_model_that_came_as_it_was(name):
    model = build_acting(name)
    before = model.SerializeToString()
    load(name).apply(model)
    assert model.SerializeToString() == before


def once_is_enough(name):
    rewritten = load(name).apply(build_acting(name)).model
    assert load(name).apply(rewritten).model is rewritten


def where_there_is_nothing_to_do_it_returns_the_model_itself_and_says_why(name):
    model = parse_model(_IDLE)
    before = model.SerializeToString()
    applied = load(name).apply(model)
    assert applied.model is model
    assert model.SerializeToString() == before
    assert _REASONS.get(name, "nothing") in applied.report


def run(model, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, batch), strict=True))


CLAIMS = (
    it_acts_and_says_what_it_did,
    it_computes_the_same,
    it_leaves_the_model_that_came_as_it_was,
    once_is_enough,
    where_there_is_nothing_to_do_it_returns_the_model_itself_and_says_why,
)


@pytest.mark.parametrize(("claim", "name"), pair_claims(CLAIMS, MEMBERS))
def test_every_pass_keeps_the_contract(claim, name):
    claim(name)


def test_every_pass_of_the_folder_has_its_place_in_the_order():
    ours = [name for name, member in list_members(seams.PASSES).items() if member.is_ours]
    assert sorted(step.__name__.rpartition(".")[2] for step in PASSES) == ours


_PASS = """
import onnx
from toolchain.optimize.applied import Applied


def apply(model):
    identities = [node for node in model.graph.node if node.op_type == "Identity"]
    if not identities:
        return Applied(model=model, report="nothing to bridge")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    node = next(node for node in result.graph.node if node.op_type == "Identity")
    reader = next(other for other in result.graph.node if node.output[0] in other.input)
    reader.input[0] = node.input[0]
    result.graph.node.remove(node)
    return Applied(model=result, report="bridged one Identity")
"""
_CHANGES = {
    "nothing": ("", "", set()),
    "what_came": (
        "    result.CopyFrom(model)\n",
        "    result = model\n",
        {"it_leaves_the_model_that_came_as_it_was"},
    ),
    "the_numbers": (
        "reader.input[0] = node.input[0]",
        'reader.op_type = "Neg"; reader.input[0] = node.input[0]',
        {"it_computes_the_same"},
    ),
    "its_silence": (
        'report="bridged one Identity"',
        'report=""',
        {"it_acts_and_says_what_it_did"},
    ),
    "a_copy_for_nothing": (
        "return Applied(model=model, report",
        "copy = onnx.ModelProto(); copy.CopyFrom(model); return Applied(model=copy, report",
        {"once_is_enough", "where_there_is_nothing_to_do_it_returns_the_model_itself_and_says_why"},
    ),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_pass_that_breaks_the_contract_is_caught_by_the_claim_that_it_breaks(plugins, change):
    old, new, broken = _CHANGES[change]
    write_plugin(plugins, "passes", "bridge", _PASS.replace(old, new) if old else _PASS)
    assert find_broken_claims(CLAIMS, "bridge") == broken


def test_what_a_pass_did_or_why_it_did_nothing_is_in_its_record():
    records = optimize(parse_model(_IDLE), [make_batch(parse_model(_IDLE))]).passes
    assert {record.name: record.report for record in records}.keys() == _REASONS.keys()
    assert all(_REASONS[record.name] in record.report and not record.acted for record in records)

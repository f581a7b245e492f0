import onnx
import pytest

from toolchain.graph.safety import counts
from toolchain.graph.safety.counts import check_counts

RELU = "g (float[N] x) => (float[N] y) { y = Relu (x) }"
NESTED = """g (float[N] x, bool c) => (float[N] y) { y = If (c) <
    then_branch = t () => (float[N] a) { a = If (c) <
        then_branch = u () => (float[N] d) { d = Relu (x) }, else_branch = v () => (float[N] e) { e = Abs (x) }> },
    else_branch = w () => (float[N] b) { b = Neg (x) }> }"""


def test_a_sound_model_passes(parse):
    check_counts(parse(RELU), "model.onnx")
    check_counts(parse(NESTED), "model.onnx")


@pytest.mark.parametrize(
    ("limit", "most", "says"),
    [
        ("NODES_MAX", 4, "nodes"),
        ("DEPTH_MAX", 1, "graphs within each other"),
        ("VALUES_MAX", 1, "inputs"),
        ("MESSAGES_MAX", 20, "messages"),
        ("TEXT_MAX_BYTES", 30, "bytes of names"),
    ],
)
def test_too_much_of_anything_is_refused(parse, refuse, monkeypatch, limit, most, says):
    monkeypatch.setattr(counts, limit, most)
    assert f"too many {says}" in refuse(check_counts, parse(NESTED))


def test_as_much_as_allowed_passes(parse, monkeypatch):
    monkeypatch.setattr(counts, "NODES_MAX", 5)
    monkeypatch.setattr(counts, "DEPTH_MAX", 2)
    monkeypatch.setattr(counts, "VALUES_MAX", 2)
    check_counts(parse(NESTED), "model.onnx")


def test_numbers_in_attributes_count(parse, refuse, monkeypatch):
    monkeypatch.setattr(counts, "NUMBERS_MAX", 3)
    model = parse("g (float[2, 2] x) => (float[2, 2] y) { y = Transpose <perm = [1, 0, 2, 3]> (x) }")
    assert "numbers in attributes" in refuse(check_counts, model)


def test_initializers_that_are_listed_as_inputs_are_not_counted_as_inputs(parse, monkeypatch):
    monkeypatch.setattr(counts, "VALUES_MAX", 1)
    model = parse("g (float[N] x) => (float[N] y) <float[1] w = {1}> { y = Add (x, w) }")
    model.graph.input.append(onnx.ValueInfoProto(name="w"))
    check_counts(model, "model.onnx")


def test_nodes_of_functions_and_of_training_count(parse, refuse, monkeypatch):
    monkeypatch.setattr(counts, "NODES_MAX", 1)
    function = '<domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Relu (a) }'
    assert "nodes" in refuse(check_counts, parse(RELU + function))
    model = parse(RELU)
    model.training_info.add().algorithm.CopyFrom(model.graph)
    assert "nodes" in refuse(check_counts, model)


def test_a_name_that_is_too_long_is_refused(parse, refuse):
    model = parse(RELU)
    model.graph.node[0].name = "n" * (counts.NAME_MAX_BYTES + 1)
    assert "bytes in a name (name)" in refuse(check_counts, model)
    model.graph.node[0].name = "n" * counts.NAME_MAX_BYTES
    model.graph.node[0].doc_string = "n" * (counts.NAME_MAX_BYTES + 1)
    check_counts(model, "model.onnx")


def _break(model: onnx.ModelProto, name: bytes) -> onnx.ModelProto:
    """Make every name \"evil\" bytes that are not UTF-8."""
    return onnx.ModelProto.FromString(model.SerializeToString().replace(b"evil", name))


@pytest.mark.parametrize("place", ["tensor", "attribute", "strings"])
def test_text_that_is_not_utf_8_is_refused(parse, refuse, place):
    model = parse("g (float[N] x) => (float[N] y) { y = Relu (x) }")
    node = model.graph.node[0]
    if place == "tensor":
        node.output[0] = "evil"
    elif place == "attribute":
        node.attribute.add(name="auto_pad", type=onnx.AttributeProto.STRING, s=b"evil")
    else:
        model.graph.initializer.add(name="w", data_type=onnx.TensorProto.STRING, dims=[1], string_data=[b"evil"])
    check_counts(model, "model.onnx")
    assert "not UTF-8" in refuse(check_counts, _break(model, b"\xff\xfe\xc3\x28"))

import onnx.helper as h
import pytest
from onnx import TensorProto

from toolchain.module.name_layers import name_layers

MODULES = ["stem", "body", "body.0", "body.0.conv", "body.0.bn", "head"]


def node(op, inputs, name, *scopes):
    made = h.make_node(op, inputs, [f"{name}_out"], name)
    if scopes:
        made.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(["", *scopes, "op"]))
    return made


def name(*nodes, weights=()):
    tensors = [h.make_tensor(each, TensorProto.FLOAT, [1], [0.0]) for each in weights]
    model = h.make_model(h.make_graph(list(nodes), "net", [], [], tensors))
    name_layers(model, MODULES)
    return [each.name for each in model.graph.node]


def test_a_node_alone_of_its_module_has_its_name_and_one_of_no_module_keeps_its_own():
    assert name(node("Conv", ["x"], "node_conv2d", "stem"), node("Relu", ["x"], "node_relu")) == ["stem", "node_relu"]


def test_a_convolution_that_took_in_a_batch_norm_goes_by_its_weights():
    fused = node("Conv", ["x", "body.0.conv.weight"], "node_Conv_139", "body", "body.0", "body.0.bn")
    assert name(fused, weights=["body.0.conv.weight"]) == ["body.0.conv"]


def test_of_several_nodes_the_one_with_the_weights_is_the_layer():
    nodes = [
        node("Transpose", ["x"], "n1", "head"),
        node("MatMul", ["x", "head.weight"], "n2", "head"),
        node("Add", ["x", "head.bias"], "n3", "head"),
        node("Add", ["x"], "n4", "head"),
    ]
    assert name(*nodes, weights=["head.weight", "head.bias"]) == ["head/Transpose", "head", "head/Add", "head/Add_2"]


def test_no_two_nodes_have_one_name_whatever_was_there():
    nodes = [node("Relu", ["x"], "stem"), node("Conv", ["x"], "n1", "stem"), node("Conv", ["x"], "n2", "head")]
    assert len(set(name(*nodes))) == 3


@pytest.mark.parametrize("text", ["", "[", "{}", "['']", "['no_module', 'op']", "1"])
def test_a_note_that_cannot_be_read_names_nothing(text):
    made = node("Relu", ["x"], "node_relu")
    made.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=text)
    assert name(made) == ["node_relu"]

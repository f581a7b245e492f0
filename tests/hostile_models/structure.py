"""Graphs that are none, and tensors of types that operators do not take."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.hostile_models.family import Family, Maker
from tests.hostile_models.parts import INPUT, OUTPUT, WEIGHTS, const, conv, good, graph, model, node, value


def _chain(count: int) -> onnx.ModelProto:
    names = ["t", *(f"r{index}" for index in range(count - 1)), "out"]
    return model([conv(made="t"), *(node("Relu", [names[index]], [names[index + 1]]) for index in range(count))])


FAMILY = Family("structure", lambda _: _chain(20))


def _nodes(*nodes: onnx.NodeProto, initializers: Iterable[TensorProto] = (WEIGHTS,)) -> Maker:
    return lambda _: model(nodes, initializers)


_STRUCTURES: dict[str, tuple[str, Maker]] = {
    "nodes_100k": ("100,000 nodes, which each pass walks over", lambda _: _chain(100_000)),
    "circle": (
        "two nodes that wait for each other",
        _nodes(node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"]), conv()),
    ),
    "reads_itself": ("a node that waits for itself", _nodes(node("Add", ["input", "out"], ["out"]))),
    "reads_nothing": ("a tensor that nobody makes", _nodes(conv(read="nowhere"))),
    "out_of_order": ("a node before the one that it reads", _nodes(node("Relu", ["t"], ["out"]), conv(made="t"))),
    "made_twice": ("two nodes that make one tensor", _nodes(conv(), node("Relu", ["input"], ["out"]))),
    "made_twice_by_one": (
        "a node that makes one tensor twice",
        _nodes(node("Split", ["input"], ["out", "out"], axis=3, num_outputs=2)),
    ),
    "makes_an_initializer": ("a node that makes what is given", _nodes(conv(), node("Relu", ["out"], ["w"]))),
    "makes_the_input": ("a node that makes what is given", _nodes(conv(), node("Relu", ["out"], ["input"]))),
    "initializer_twice": ("two values of one tensor", _nodes(conv(), initializers=[WEIGHTS, WEIGHTS])),
    "initializer_without_name": ("a value of no tensor", _nodes(conv(), initializers=[WEIGHTS, const("", [1])])),
    "input_twice": ("two inputs of one name", lambda _: model([conv()], inputs=[INPUT, INPUT])),
    "input_of_no_type": (
        "an input of which nothing is said",
        lambda _: model([conv()], inputs=[onnx.ValueInfoProto(name="input")]),
    ),
    "input_that_nobody_reads": (
        "an input that the data has not",
        lambda _: model([conv()], inputs=[INPUT, value("more", shape=[1])]),
    ),
    "output_that_nobody_makes": ("an output of nothing", lambda _: model([conv(made="t")])),
    "output_twice": ("one output twice", lambda _: model([conv()], outputs=[OUTPUT, OUTPUT])),
    "no_outputs": ("a model that answers nothing", lambda _: model([conv()], outputs=[])),
    "no_inputs": ("a model that asks for nothing", lambda _: model([node("Relu", ["w"], ["out"])], inputs=[])),
    "no_graph_at_all": ("an empty graph", lambda _: onnx.ModelProto(ir_version=10, graph=onnx.GraphProto())),
    "inputs_too_many": ("a convolution of ten inputs", _nodes(node("Conv", ["input", *["w"] * 9], ["out"]))),
    "inputs_too_few": ("a convolution of nothing", _nodes(node("Conv", ["input"], ["out"]))),
    "inputs_none": ("a concatenation of nothing", _nodes(node("Concat", [], ["out"], axis=0))),
    "outputs_too_many": (
        "a convolution of nine outputs",
        _nodes(node("Conv", ["input", "w"], ["out", *(f"o{index}" for index in range(8))])),
    ),
    "random": (
        "an output that is another each time",
        _nodes(node("RandomNormalLike", ["input"], ["out"]), initializers=()),
    ),
}
for _name, (_why, _make) in _STRUCTURES.items():
    FAMILY.add(_name, _why, _make)


@FAMILY.kind("a branch that reads what is made after it")
def _branch_reads_later(_: Path) -> onnx.ModelProto:
    branches = [graph([node("Relu", ["later"], [name])], name, [], [value(name, shape=None)]) for name in ("x", "y")]
    branch = node("If", ["true"], ["t"], then_branch=branches[0], else_branch=branches[1])
    return model(
        [branch, conv(made="later"), node("Add", ["t", "later"], ["out"])], [WEIGHTS, const("true", True, bool)]
    )


@FAMILY.kind("a branch with a tensor of a name outside")
def _branch_shadows(_: Path) -> onnx.ModelProto:
    branches = [
        graph([node("Relu", ["input"], ["t"]), node("Abs", ["t"], [name])], name, [], [value(name, shape=None)])
        for name in ("x", "y")
    ]
    branch = node("If", ["true"], ["out"], then_branch=branches[0], else_branch=branches[1])
    return model([conv(made="t"), branch], [WEIGHTS, const("true", True, bool)])


def _typed(kind: int, shape: tuple[object, ...] | None = ("n", 3, 8, 8)) -> Maker:
    return lambda _: model([conv()], inputs=[value("input", kind, shape)])


TYPES = Family("types", lambda _: good())
_TYPES: dict[str, tuple[str, Maker]] = {
    "input_strings": ("an input of words", _typed(TensorProto.STRING)),
    "input_undefined": ("an input of no type", _typed(TensorProto.UNDEFINED)),
    "input_999": ("an input of a type that there is not", _typed(999)),
    "input_int64": ("integers where Conv takes floats", _typed(TensorProto.INT64)),
    "input_complex": ("complex numbers", _typed(TensorProto.COMPLEX64)),
    "input_scalar": ("a number where a picture is", _typed(TensorProto.FLOAT, ())),
    "input_of_9_axes": ("nine axes where four are", _typed(TensorProto.FLOAT, ("n", *[1] * 8))),
    "input_negative": ("a negative length", _typed(TensorProto.FLOAT, ("n", 3, -8, 8))),
    "input_zero": ("no channels", _typed(TensorProto.FLOAT, ("n", 0, 8, 8))),
    "input_of_another_length": ("another size than the data has", _typed(TensorProto.FLOAT, ("n", 3, 9, 9))),
    "output_of_another_type": (
        "an output that says to be another",
        lambda _: model([conv()], outputs=[value("out", TensorProto.INT64)]),
    ),
    "mixed": (
        "a sum of floats and integers",
        _nodes(node("Add", ["input", "i"], ["out"]), initializers=[const("i", [1])]),
    ),
    "weights_of_integers": ("integers as weights", _nodes(conv(), initializers=[const("w", np.ones((4, 3, 3, 3)))])),
    "condition_of_floats": (
        "a condition that is none",
        lambda _: model([node("If", ["input"], ["out"], then_branch=_make_branch("x"), else_branch=_make_branch("y"))]),
    ),
}


def _make_branch(name: str) -> onnx.GraphProto:
    return graph([conv(made=name)], name, [], [value(name, shape=None)])


for _name, (_why, _make) in _TYPES.items():
    TYPES.add(_name, _why, _make)
_ELEMENT = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", *WEIGHTS.dims[1:]])
for _name, _kind in {
    "sequence": helper.make_sequence_type_proto(_ELEMENT),
    "optional": helper.make_optional_type_proto(_ELEMENT),
    "map": helper.make_map_type_proto(TensorProto.INT64, _ELEMENT),
    "sparse": helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, ["n", 3, 8, 8]),
}.items():
    TYPES.add(
        f"input_{_name}",
        "an input that is no tensor",
        lambda _, kind=_kind: model([conv()], inputs=[helper.make_value_info("input", kind)]),
    )


@TYPES.kind("branches of two types")
def _branches_of_two_types(_: Path) -> onnx.ModelProto:
    integers = graph([node("Cast", ["t"], ["y"], to=7)], "y", [], [value("y", TensorProto.INT64, None)])
    floats = graph([node("Relu", ["t"], ["x"])], "x", [], [value("x", shape=None)])
    branch = node("If", ["true"], ["out"], then_branch=floats, else_branch=integers)
    return model([conv(made="t"), branch], [WEIGHTS, const("true", True, bool)])


FAMILIES = (FAMILY, TYPES)

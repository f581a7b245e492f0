"""Whatever a model calls its tensors and nodes, every writer makes what it makes of plain names."""

import functools

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from tests.lower.conftest import parse_model
from toolchain.errors import ToolchainError
from toolchain.graph.learned_ranges import LearnedRanges, restore_pairs
from toolchain.graph.names import OnnxNames
from toolchain.graph.session import HostSession
from toolchain.lower.calibration import calibrate
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.float32_inside import widen_to_float32
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.lower.packing import pack_weights
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.tensorrt.policy import tensorrt_policy
from toolchain.optimize import PASSES, optimize

PLAIN = """
<ir_version: 10, opset_import: ["": 21]>
net (float[1, 3, 8, 8] x, bool flip) => (float[1, 5] y, float[1, 8, 8, 8] tapped)
<float[8, 3, 3, 3] w1, float[8] b1, float[8, 8, 3, 3] w2, float[8] b2, float[8, 8, 1, 1] w3, float[5, 8] w4, float[5] b4,
 float scale = {1.5}, float three = {3.0}, float zero = {0.0}, float six = {6.0}, int64[2] axes = {2, 3}>
{
    [conv1] c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu1] tapped = Relu(c1)
    [conv2] c2 = Conv<pads = [1, 1, 1, 1]>(tapped, w2, b2)
    [scaled] sc = Mul(c2, scale)
    [add] a = Add(sc, tapped)
    [relu2] r2 = Relu(a)
    [shift] h1 = Add(r2, three)
    [clip] h2 = Clip(h1, zero, six)
    [times] h3 = Mul(r2, h2)
    [sixth] h4 = Div(h3, six)
    [conv3] c3 = Conv(h4, w3)
    [if] d = If(flip) <then_branch = then () => (float[1, 8, 8, 8] t) { k = Constant<value = float {2.0}>() [inner] t = Mul(tapped, k) },
                       else_branch = other () => (float[1, 8, 8, 8] e) { e = Neg(c3) }>
    [join] j = Add(c3, d)
    [mean] p = ReduceMean<keepdims = 0>(j, axes)
    [gemm] y = Gemm<transB = 1>(p, w4, b4)
}
"""


@functools.cache
def plain():
    """Return the model; its weights are multiples of a step, so that packing acts."""
    model = parse_model(PLAIN)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.size > 8:
            steps = np.abs(values).max() / 7
            tensor.CopyFrom(numpy_helper.from_array((np.rint(values / steps) * steps).astype(np.float32), tensor.name))
    return model


def iter_graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from iter_graphs(attribute.g)


def rename(model, tensors, nodes):
    """Return a copy with other names, old to new; names that are not given stay."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for graph in iter_graphs(result.graph):
        for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
            value.name = tensors.get(value.name, value.name)
        for node in graph.node:
            node.name = nodes.get(node.name, node.name)
            for field in (node.input, node.output):
                field[:] = [tensors.get(name, name) for name in field]
    return result


def list_names(model):
    """Return the names of the tensors, and of the nodes, those of subgraphs included."""
    graphs = list(iter_graphs(model.graph))
    tensors = {value.name for graph in graphs for value in [*graph.input, *graph.initializer]}
    tensors |= {name for graph in graphs for node in graph.node for name in node.output}
    return tensors, {node.name for graph in graphs for node in graph.node}


def make_feeds(model):
    image, flip = (value.name for value in model.graph.input)
    generator = np.random.default_rng(5)
    return [
        {image: generator.standard_normal((1, 3, 8, 8)).astype(np.float32), flip: np.array(index % 2 == 0)}
        for index in range(4)
    ]


def lower_with(policy, model):
    plan = policy.plan(model, frozenset())
    assert plan.weighted_layers
    symmetric = policy.scheme.symmetric
    ranges = calibrate(model, plan.tensors, make_feeds(model), method="minmax", symmetric=symmetric, threads=1)
    return policy.finish(policy.write(model, ranges, frozenset()))


def restore_ranges(model):
    learned = [model.graph.input[0].name, model.graph.node[1].output[0], model.graph.node[2].output[0]]
    return restore_pairs(model, LearnedRanges(tensors=dict.fromkeys(learned, (-4.0, 4.0)), weight_bits=8))


WRITERS = {
    "optimize": lambda model: optimize(model, make_feeds(model)).model,
    "onnxruntime int8": functools.partial(lower_with, int8_policy(choose_scheme("x86_64", frozenset(), "auto"))),
    "tensorrt int8": functools.partial(lower_with, tensorrt_policy(float16=True, finish=convert_to_float16)),
    "fp16": convert_to_float16,
    "fp16 emulation": lambda model: emulate_float16(convert_to_float16(model)),
    "widening": lambda model: widen_to_float32(convert_to_float16(model)),
    "packing": lambda model: pack_weights(model)[0],
    "learned ranges": restore_ranges,
}


def run(model):
    session = HostSession(model)
    return [list(session.run(feed).values()) for feed in make_feeds(model)]


@functools.cache
def write_plain(writer):
    """Return what the writer makes of the plain names: its outputs, and the names that it made up."""
    made = WRITERS[writer](plain())
    names = set().union(*list_names(made)) - set().union(*list_names(plain()))
    return run(made), sorted(names)


def check(writer, model):
    written = WRITERS[writer](model)
    onnx.checker.check_model(written, full_check=True)
    for found, expected in zip(run(written), write_plain(writer)[0], strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


STRANGE = ("模型/层:0", "a b", "/", ":", "x.1", "модель::свёртка", "packed", "packed0_0", "-1", "😀_scale")
# What the writers append, and a suffix for what they append to that.
SUFFIXES = (
    *("scale", "zero_point", "quantized", "dequantized", "quantize", "dequantize", "raw", "weight", "bias"),
    *("float16", "float32", "cast", "exact", "half", "rounded", "pooled", "flatten", "2", "weight_scale"),
)


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_names_that_the_writer_would_make_up_change_nothing(writer, data):
    tensors, nodes = list_names(plain())
    suffixed = [f"{name}_{suffix}" for name in sorted(tensors | nodes) for suffix in SUFFIXES]
    # All that it made up and some that it might, so that every example collides.
    hostile = {*write_plain(writer)[1], *data.draw(st.sets(st.sampled_from(suffixed), max_size=10)), *STRANGE}
    made = data.draw(st.permutations(sorted(hostile - tensors - nodes)))
    victims = data.draw(st.lists(st.sampled_from(sorted(tensors)), unique=True, min_size=5, max_size=20))
    renamed_nodes = data.draw(st.lists(st.sampled_from(sorted(nodes - {""})), unique=True, max_size=5))
    other = dict(zip(victims, made, strict=False))
    other_nodes = dict(zip(renamed_nodes, made[::-1], strict=False))
    check(writer, rename(plain(), other, other_nodes))


@pytest.mark.parametrize("writer", sorted(set(WRITERS) - {"optimize"}))
def test_a_writer_that_joins_names_by_itself_is_found(writer, monkeypatch):
    """The control: without the maker of names, the same check fails."""
    made = write_plain(writer)[1]
    monkeypatch.setattr(OnnxNames, "make", lambda _self, stem: stem)
    colliding = [rename(plain(), {"six": name}, {}) for name in made]
    refused = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, AssertionError, ToolchainError)
    with pytest.raises(refused):
        any(check(writer, model) for model in colliding)


def test_duplicate_and_empty_node_names_become_unique_and_the_tensors_keep_theirs():
    model = rename(plain(), {}, {"conv1": "same", "conv2": "same", "gemm": "", "if": "same", "inner": "same"})
    # ONNX Runtime opens no graph with two nodes of one name; the stage that imports a file sees to that first.
    name_nodes = next(step for step in PASSES if step.__name__.endswith("name_nodes"))
    named = name_nodes.apply(model).model
    names = [node.name for graph in iter_graphs(named.graph) for node in graph.node]
    assert len(set(names)) == len(names)
    assert list_names(named)[0] == list_names(model)[0]
    for writer in ("optimize", "onnxruntime int8"):
        check(writer, named)


def test_a_constant_of_a_branch_that_is_called_like_a_tensor_outside_stays_the_branchs_own():
    """The inner k shadows the outer one that int8 replaces: its readers inside keep reading the inner."""
    model = parse_model("""
    <ir_version: 10, opset_import: ["": 21]>
    net (float[1, 4] x, bool flip) => (float[1, 4] y)
    <float[4, 4] w, float[4, 4] v>
    {
        [first] k = MatMul(x, w)
        [relu] r = Relu(k)
        [second] s = MatMul(r, v)
        [if] y = If(flip) <then_branch = then () => (float[1, 4] t) { [inner] t = Mul(s, r) },
                           else_branch = other () => (float[1, 4] e) { [neg] e = Neg(s) }>
    }
    """)
    branch = next(node for node in model.graph.node if node.name == "if").attribute[0].g
    branch.initializer.append(numpy_helper.from_array(np.full(4, 3.0, np.float32), "r"))
    policy = int8_policy(choose_scheme("x86_64", frozenset(), "auto"))
    feeds = [{"x": np.linspace(-1, 1, 4, dtype=np.float32)[None], "flip": np.array(value)} for value in (True, False)]
    ranges = calibrate(model, policy.plan(model, frozenset()).tensors, feeds, method="minmax", symmetric=False)
    lowered = policy.write(model, ranges, frozenset())
    for feed in feeds:
        expected, found = HostSession(model).run(feed)["y"], HostSession(lowered).run(feed)["y"]
        np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


def test_a_maker_of_names_gives_the_same_for_the_same_and_never_one_that_is_taken():
    model = rename(plain(), {"b1": "x_scale", "k": "x_quantized"}, {"relu1": "x_raw"})
    names = OnnxNames.from_model(model)
    assert names.derive("x", "scale") == names.derive("x", "scale") == "x_scale_2"
    assert names.derive("x_scale") != names.derive("x", "scale")
    assert names.derive("x", "quantized") == "x_quantized_2"
    assert names.make("x_raw") == "x_raw_2"
    assert names.make("x_raw") == "x_raw_3"
    assert names.make("free") == "free"
    assert names.make("") == "_2"

"""Scales and zero points."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.hostile_models.family import Family
from tests.hostile_models.parts import SAMPLE, WEIGHTS, const, conv, graph, model, node, value


def _pair(scale: Any = 0.02, zero_point: Any = 0, kind: Any = np.int8, **attributes: Any) -> onnx.ModelProto:
    """Return a model with a pair behind the convolution."""
    nodes = [
        conv(made="t"),
        node("QuantizeLinear", ["t", "s", "z"], ["q"], **attributes),
        node(
            "DequantizeLinear", ["q", "s", "z"], ["out"], **{"axis": attributes["axis"]} if "axis" in attributes else {}
        ),
    ]
    return model(nodes, [WEIGHTS, const("s", scale, np.float32), const("z", zero_point, kind)])


FAMILY = Family("quantization", lambda _: _pair())
_WRONG = {
    "zero": 0.0,
    "minus_zero": -0.0,
    "negative": -0.02,
    "nan": np.nan,
    "infinite": np.inf,
    "minus_infinite": -np.inf,
}
for _name, _scale in _WRONG.items():
    FAMILY.add(f"scale_{_name}", "a scale that is no positive number", lambda _, scale=_scale: _pair(scale))
FAMILY.add("scale_of_one_channel_zero", "one scale of four", lambda _: _pair([0.1, 0.1, 0.0, 0.1], [0] * 4, axis=1))
FAMILY.add("scales_of_too_many_channels", "nine scales of four channels", lambda _: _pair([0.1] * 9, [0] * 9, axis=1))
FAMILY.add("zero_points_too_few", "three zero points of four scales", lambda _: _pair([0.1] * 4, [0] * 3, axis=1))
FAMILY.add("zero_point_of_floats", "a zero point that is no integer", lambda _: _pair(kind=np.float32))
FAMILY.add("output_type_of_another", "two types for one result", lambda _: _pair(output_dtype=TensorProto.UINT8))
FAMILY.add("axis_beyond", "scales along an axis that there is not", lambda _: _pair([0.1] * 4, [0] * 4, axis=99))
FAMILY.add("blocks_negative", "blocks of negative size", lambda _: _pair([0.1] * 4, [0] * 4, axis=1, block_size=-1))


def _weights(scale: Any = 0.02, zero_point: Any = 0, kind: Any = np.int8) -> onnx.ModelProto:
    """Return a model whose weights are int8."""
    weights = np.random.default_rng(0).integers(-100, 100, (4, *SAMPLE[:1], 3, 3))
    constants = [const("q", weights, np.int8), const("s", scale, np.float32), const("z", zero_point, kind)]
    return model([node("DequantizeLinear", ["q", "s", "z"], ["w"]), conv()], constants)


FAMILY.add("weights_scale_zero", "weights that are all 0 * q", lambda _: _weights(0.0))
FAMILY.add("weights_scale_negative", "weights of the other sign", lambda _: _weights(-0.02))
FAMILY.add(
    "weights_zero_point_uint8", "a zero point of another type than the weights", lambda _: _weights(kind=np.uint8)
)


@FAMILY.kind("a scale of zero in a branch")
def _scale_in_branch(_: Path) -> onnx.ModelProto:
    nodes = [node("QuantizeLinear", ["t", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    then = graph(nodes, "then", [], [value("y", shape=None)], [const("s", 0.0, np.float32), const("z", 0, np.int8)])
    other = graph([node("Relu", ["t"], ["x"])], "else", [], [value("x", shape=None)])
    branch = node("If", ["true"], ["out"], then_branch=then, else_branch=other)
    return model([conv(made="t"), branch], [WEIGHTS, const("true", True, bool)])


@FAMILY.kind("a scale of zero in a Constant")
def _scale_in_constant(_: Path) -> onnx.ModelProto:
    made = _pair()
    del made.graph.initializer[1]
    made.graph.node.insert(0, node("Constant", [], ["s"], value_float=0.0))
    return made


def _integers(scales: tuple[float, float, float]) -> onnx.ModelProto:
    """Return a QLinearConv between a pair, with scales of input, weights and output."""
    nodes = [
        node("QuantizeLinear", ["input", "one", "z"], ["x"]),
        node("QLinearConv", ["x", "s0", "z", "q", "s1", "z8", "s2", "z"], ["y"], pads=[1] * 4),
        node("DequantizeLinear", ["y", "one", "z"], ["out"]),
    ]
    constants = [const(f"s{index}", scale, np.float32) for index, scale in enumerate(scales)]
    constants += [const("one", 0.05, np.float32), const("z", 128, np.uint8), const("z8", 0, np.int8)]
    return model(nodes, [*constants, const("q", np.ones((4, 3, 3, 3)), np.int8)])


INTEGERS = Family("quantized_operators", lambda _: _integers((0.05, 0.02, 0.05)))
for _index, _name in enumerate(("input", "weights", "output")):
    for _what, _scale in (("zero", 0.0), ("negative", -0.05)):
        _scales = tuple(_scale if place == _index else 0.05 for place in range(3))
        INTEGERS.add(
            f"{_name}_{_what}", "a scale that is no positive number", lambda _, scales=_scales: _integers(scales)
        )


def _resize(scale: float) -> onnx.ModelProto:
    return model(
        [conv(made="t"), node("Resize", ["t", "", "s"], ["out"])], [WEIGHTS, const("s", [1, 1, scale, 2], np.float32)]
    )


RESIZE = Family("resize", lambda _: _resize(2.0))
for _name, _scale in _WRONG.items():
    RESIZE.add(f"scale_{_name}", "a length times no positive number", lambda _, scale=_scale: _resize(scale))
FAMILIES = (FAMILY, INTEGERS, RESIZE)

"""Attributes that kernels divide by, loop over and allocate for."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.hostile_models.family import Family, Maker
from tests.hostile_models.parts import SAMPLE, WEIGHTS, const, conv, model, node

FAMILY = Family("attributes", lambda _: model([conv(strides=[2, 2], dilations=[2, 1], group=1, auto_pad="NOTSET")]))


def _conv(**attributes: Any) -> Maker:
    return lambda _: model([conv(**attributes)])


def _one(operator: str, inputs: int = 1, **attributes: Any) -> Maker:
    """Return the maker of a convolution before an operator."""
    return lambda _: model([conv(made="t"), node(operator, ["t"] * inputs, ["out"], **attributes)])


_KINDS: dict[str, tuple[str, Maker]] = {
    "group_0": ("a division by zero", _conv(group=0)),
    "group_negative": ("a negative number of groups", _conv(group=-3)),
    "group_2_of_3": ("groups that do not divide the channels", _conv(group=2)),
    "group_huge": ("more groups than channels", _conv(group=2**62)),
    "stride_0": ("a window that does not move", _conv(strides=[0, 0])),
    "stride_negative": ("a window that moves back", _conv(strides=[-1, -1])),
    "stride_huge": ("a step beyond 64 bits", _conv(strides=[2**62, 2**62])),
    "strides_of_7_axes": ("more strides than axes", _conv(strides=[1] * 7)),
    "strides_million": ("a million strides", _conv(strides=[1] * 10**6)),
    "dilation_0": ("taps on one place", _conv(dilations=[0, 0])),
    "dilation_huge": ("a window beyond 64 bits", _conv(dilations=[2**61, 2**61])),
    "pad_negative": ("a window before the tensor", _conv(pads=[-(2**40), 1, 1, 1])),
    "pad_huge": ("a frame beyond 64 bits", _conv(pads=[2**62] * 4)),
    "pad_of_3": ("fewer pads than sides", _conv(pads=[1] * 3)),
    "kernel_of_another": ("another kernel than the weights", _conv(kernel_shape=[7, 7])),
    "kernel_0": ("a kernel of nothing", _conv(kernel_shape=[0, 0])),
    "auto_pad_unknown": ("a word without a meaning", _conv(auto_pad="NONSENSE")),
    "unknown": ("an attribute that Conv has not", _conv(evil=1)),
    "of_another_type": ("a word where a number is", _conv(group="one")),
    "pool_kernel_huge": ("a window beyond the picture", _one("MaxPool", kernel_shape=[2**40, 2**40])),
    "pool_kernel_0": ("a window of nothing", _one("AveragePool", kernel_shape=[0, 0])),
    "pool_kernel_none": ("no window", _one("MaxPool")),
    "pool_stride_0": ("a window that does not move", _one("AveragePool", kernel_shape=[2, 2], strides=[0, 1])),
    "lrn_size_0": ("a mean over nothing", _one("LRN", size=0)),
    "depth_to_space_0": ("a division by zero", _one("DepthToSpace", blocksize=0)),
    "space_to_depth_0": ("a division by zero", _one("SpaceToDepth", blocksize=0)),
    "softmax_axis": ("an axis that there is not", _one("Softmax", axis=99)),
    "flatten_axis": ("an axis that there is not", _one("Flatten", axis=-99)),
    "transpose_twice": ("one axis four times", _one("Transpose", perm=[0, 0, 0, 0])),
    "transpose_beyond": ("an axis that there is not", _one("Transpose", perm=[0, 1, 2, 2**40])),
    "concat_axis": ("an axis that there is not", _one("Concat", inputs=2, axis=2**40)),
    "cast_unknown": ("a type that there is not", _one("Cast", to=999)),
    "einsum_nonsense": ("an equation of nothing", _one("Einsum", equation="->->")),
    "einsum_long": ("an equation of a million letters", _one("Einsum", equation="a" * 10**6)),
    "split_many": ("a thousand million outputs", _one("Split", num_outputs=10**9, axis=1)),
    "groups_of_normalization_0": (
        "a division by zero",
        lambda _: model(
            [conv(made="t"), node("GroupNormalization", ["t", "g", "g"], ["out"], num_groups=0)],
            [WEIGHTS, const("g", [1.0] * 4, np.float32)],
        ),
    ),
    "layer_normalization_axis": (
        "an axis that there is not",
        lambda _: model(
            [conv(made="t"), node("LayerNormalization", ["t", "g"], ["out"], axis=77)],
            [WEIGHTS, const("g", [1.0] * 8, np.float32)],
        ),
    ),
    "output_padding_negative": (
        "a negative frame",
        lambda _: model(
            [node("ConvTranspose", ["input", "v"], ["out"], output_padding=[-1, -1])],
            [const("v", np.ones((3, 4, 3, 3)), np.float32)],
        ),
    ),
}
for _name, (_why, _make) in _KINDS.items():
    FAMILY.add(_name, _why, _make)


@FAMILY.kind("one attribute with two values")
def _twice(_: Path) -> onnx.ModelProto:
    made = model([conv(strides=[1, 1])])
    made.graph.node[0].attribute.add(name="strides", type=onnx.AttributeProto.INTS, ints=[2, 2])
    return made


@FAMILY.kind("an attribute that says nothing of its type")
def _without_type(_: Path) -> onnx.ModelProto:
    made = model([conv(group=1)])
    for attribute in made.graph.node[0].attribute:
        attribute.ClearField("type")
    return made


@FAMILY.kind("an attribute that refers to a function's, outside of one")
def _reference(_: Path) -> onnx.ModelProto:
    made = model([conv()])
    made.graph.node[0].attribute.add(name="group", type=onnx.AttributeProto.INT, ref_attr_name="evil")
    return made


@FAMILY.kind("a hidden state of nothing")
def _lstm_0(_: Path) -> onnx.ModelProto:
    weights = [
        const("wi", np.ones((1, 16, 8)), np.float32),
        const("wh", np.ones((1, 16, 4)), np.float32),
        const("s", [SAMPLE[0], -1, 8]),
    ]
    nodes = [node("Reshape", ["input", "s"], ["t"]), node("LSTM", ["t", "wi", "wh"], ["out"], hidden_size=0)]
    return model(nodes, weights)

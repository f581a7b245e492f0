"""Small files with large tensors between their nodes: some known before the model runs, some only then."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from tests.hostile_models.family import Family, Maker
from tests.hostile_models.parts import SHAPE_1, WEIGHTS, const, conv, model, node, one_of_data, sum_into, value


def _big(nodes: Iterable[onnx.NodeProto], *initializers: TensorProto, opset: int = 21) -> Maker:
    """Return the maker of a model whose output depends on the tensor `b`."""
    return lambda _: model([*nodes, *sum_into("b")], initializers, opset=opset)


_FLOAT_1 = const("float_1", [1.0], np.float32)

STATIC = Family("static_sizes", _big([node("Expand", ["float_1", "s"], ["b"])], _FLOAT_1, const("s", [100, 100])))
_STATIC: dict[str, tuple[str, Maker]] = {
    "expand": ("10^12 numbers", _big([node("Expand", ["float_1", "s"], ["b"])], _FLOAT_1, const("s", [10**6, 10**6]))),
    "constant_of_shape": ("10^12 numbers", _big([node("ConstantOfShape", ["s"], ["b"])], const("s", [10**6, 10**6]))),
    "constant_of_shape_overflow": (
        "2^64 numbers",
        _big([node("ConstantOfShape", ["s"], ["b"])], const("s", [2**32, 2**32])),
    ),
    "constant_of_shape_negative": (
        "a negative length",
        _big([node("ConstantOfShape", ["s"], ["b"])], const("s", [-5, 7])),
    ),
    "constant_of_shape_rank": ("100 axes", _big([node("ConstantOfShape", ["s"], ["b"])], const("s", [1] * 100))),
    "one_hot": (
        "a thousand million classes",
        _big(
            [node("OneHot", ["i", "d", "v"], ["b"])],
            const("i", list(range(64))),
            const("d", 10**9),
            const("v", [0.0, 1.0], np.float32),
        ),
    ),
    "pad": ("a frame of 10^5", _big([node("Pad", ["input", "p"], ["b"])], const("p", [0, 0, 10**5, 10**5] * 2))),
    "resize": (
        "a picture 10^4 times as wide",
        _big([node("Resize", ["input", "", "s"], ["b"])], const("s", [1, 1, 1e4, 1e4], np.float32)),
    ),
    "resize_sizes": (
        "a picture of 10^5",
        _big([node("Resize", ["input", "", "", "s"], ["b"])], const("s", [1, 3, 10**5, 10**5])),
    ),
    "tile": ("10^5 copies of 10^5", _big([node("Tile", ["input", "r"], ["b"])], const("r", [1, 1, 10**5, 10**5]))),
    "range": (
        "10^10 numbers",
        _big(
            [node("Range", ["from", "to", "by"], ["r"]), node("Cast", ["r"], ["b"], to=1)],
            const("from", 0),
            const("to", 10**10),
            const("by", 1),
        ),
    ),
    "range_by_zero": (
        "a range that does not move",
        _big(
            [node("Range", ["from", "to", "by"], ["r"]), node("Cast", ["r"], ["b"], to=1)],
            const("from", 0),
            const("to", 9),
            const("by", 0),
        ),
    ),
    "conv_of_expanded": (
        "weights that are made of nothing",
        lambda _: model([node("ConstantOfShape", ["s"], ["w"]), conv()], [const("s", [2**19, 3, 32, 32])]),
    ),
    "conv_pads": ("a frame of 10^5 around a convolution", lambda _: model([conv(pads=[10**5] * 4)])),
    "eye": (
        "a matrix of 10^10",
        _big([node("ConstantOfShape", ["s"], ["m"]), node("EyeLike", ["m"], ["b"])], const("s", [10**5, 10**5])),
    ),
    "einsum": (
        "an outer product of 192^4",
        _big([node("Einsum", ["input"] * 4, ["b"], equation="abcd,efgh,ijkl,mnop->abcdefghijklmnop")]),
    ),
    "depth_to_space": ("a reshape beyond the input", _big([node("DepthToSpace", ["input"], ["b"], blocksize=10**5)])),
    "reshape_impossible": (
        "a reshape to other lengths",
        _big([node("Reshape", ["input", "s"], ["b"])], const("s", [7, 11])),
    ),
    "reshape_two_unknown": (
        "a reshape with two lengths to guess",
        _big([node("Reshape", ["input", "s"], ["b"])], const("s", [-1, -1])),
    ),
    "top_k": ("the best 10^12 of 8", _big([node("TopK", ["input", "k"], ["b", "i"])], const("k", [10**12]))),
    "input_declared": (
        "an input of 10^15 numbers",
        lambda _: model([conv()], inputs=[value("input", shape=["n", 3, 10**7, 10**8])]),
    ),
    "output_declared": (
        "an output that says to be another",
        lambda _: model([conv()], outputs=[value("out", shape=["n", 4, 10**7, 10**8])]),
    ),
}
for _name, (_why, _make) in _STATIC.items():
    STATIC.add(_name, _why, _make)


@STATIC.kind("a shape that doubles 60 times, which shape inference follows number by number")
def _shape_doubles(_: Path) -> onnx.ModelProto:
    nodes = [node("Shape", ["input"], ["s0"])]
    nodes += [node("Concat", [f"s{level}"] * 2, [f"s{level + 1}"], axis=0) for level in range(60)]
    return model([*nodes, node("ConstantOfShape", ["s60"], ["b"]), *sum_into("b")], [])


@STATIC.kind("a tensor that doubles 60 times, one node each")
def _concat_doubles(_: Path) -> onnx.ModelProto:
    nodes = [node("Identity", ["input"], ["s0"])]
    nodes += [node("Concat", [f"s{level}"] * 2, [f"s{level + 1}"], axis=3) for level in range(60)]
    return model([*nodes, node("Identity", ["s60"], ["b"]), *sum_into("b")], [])


@STATIC.kind("text that doubles 40 times")
def _text_doubles(_: Path) -> onnx.ModelProto:
    nodes = [node("StringConcat", [f"s{level}"] * 2, [f"s{level + 1}"]) for level in range(40)]
    text = TensorProto(name="s0", data_type=TensorProto.STRING, dims=[1], string_data=[b"text"])
    nodes += [node("StringSplit", ["s40"], ["parts", "count"], delimiter=" "), node("Cast", ["count"], ["b"], to=1)]
    return model([*nodes, *sum_into("b")], [text])


def _by_data(nodes: Callable[[str], list[onnx.NodeProto]], lengths: list[int], *initializers: TensorProto) -> Maker:
    """Return the maker of a model with a shape of these lengths, which are known once there is data."""

    def make(_: Path) -> onnx.ModelProto:
        grown = [*one_of_data(), node("Mul", ["one", "lengths"], ["shape"])]
        return model([*grown, *nodes("shape"), *sum_into("b")], [SHAPE_1, const("lengths", lengths), *initializers])

    return make


def _expand(shape: str) -> list[onnx.NodeProto]:
    return [node("Expand", ["float_1", shape], ["b"])]


def _fill(shape: str) -> list[onnx.NodeProto]:
    return [node("ConstantOfShape", [shape], ["b"])]


def _count(shape: str) -> list[onnx.NodeProto]:
    return [
        node("ReduceProd", [shape], ["to"], keepdims=0),
        node("Range", ["from", "to", "by"], ["numbers"]),
        node("Cast", ["numbers"], ["b"], to=1),
    ]


def _multiply(shape: str) -> list[onnx.NodeProto]:
    """16 products of two matrices: seconds of work on two small tensors."""
    nodes = [node("ConstantOfShape", [shape], ["m0"])]
    nodes += [node("MatMul", [f"m{index}", "m0"], [f"m{index + 1}"]) for index in range(16)]
    return [*nodes, node("Identity", ["m16"], ["b"])]


def _grow(shape: str) -> list[onnx.NodeProto]:
    """A tensor that doubles 40 times, from a length that only the data says."""
    nodes = [node("ConstantOfShape", [shape], ["g0"])]
    nodes += [node("Concat", [f"g{level}"] * 2, [f"g{level + 1}"], axis=0) for level in range(40)]
    return [*nodes, node("Identity", ["g40"], ["b"])]


def _spread(shape: str) -> list[onnx.NodeProto]:
    """A sum of a column and a row, which is a matrix."""
    return [
        node("ConstantOfShape", [shape], ["column"]),
        node("Transpose", ["column"], ["row"], perm=[1, 0]),
        node("Add", ["column", "row"], ["b"]),
    ]


def _keep_all(shape: str) -> list[onnx.NodeProto]:
    """40 tensors of 100 MB that are all alive at the end."""
    nodes = [node("ConstantOfShape", [shape], ["k0"])]
    nodes += [node("Add", [f"k{index}", "float_1"], [f"k{index + 1}"]) for index in range(40)]
    return [*nodes, node("Concat", [f"k{index}" for index in range(41)], ["b"], axis=0)]


_RANGE = (const("from", 0), const("by", 1))
RUN_TIME = Family("run_time_sizes", _by_data(_expand, [100, 100], _FLOAT_1))
_RUN_TIME: dict[str, tuple[str, Maker]] = {
    "expand_huge": ("10^12 numbers", _by_data(_expand, [10**6, 10**6], _FLOAT_1)),
    "expand_4_gib": ("4 GiB, which a machine may have", _by_data(_expand, [2**15, 2**15], _FLOAT_1)),
    "expand_overflow": ("2^64 numbers", _by_data(_expand, [2**32, 2**32], _FLOAT_1)),
    "fill_huge": ("10^12 numbers", _by_data(_fill, [10**6, 10**6])),
    "fill_3_gib": ("3 GiB, which a machine may have", _by_data(_fill, [3 * 2**28])),
    "fill_negative": ("a negative length", _by_data(_fill, [-(10**6)])),
    "range_huge": ("10^12 numbers", _by_data(_count, [10**12], *_RANGE)),
    "range_8_gib": ("8 GiB, which a machine may have", _by_data(_count, [2**30], *_RANGE)),
    "tile_huge": ("10^10 copies", _by_data(lambda s: [node("Tile", ["input", s], ["b"])], [1, 1, 10**5, 10**5])),
    "pad_huge": ("a frame of 10^5", _by_data(lambda s: [node("Pad", ["input", s], ["b"])], [0, 0, 10**5, 10**5] * 2)),
    "resize_huge": (
        "a picture of 10^5",
        _by_data(lambda s: [node("Resize", ["input", "", "", s], ["b"])], [1, 3, 10**5, 10**5]),
    ),
    "one_hot_huge": (
        "10^11 classes",
        _by_data(
            lambda s: [node("OneHot", ["i", s, "v"], ["b"])],
            [10**11],
            const("i", [0, 1]),
            const("v", [0.0, 1.0], np.float32),
        ),
    ),
    "concat_doubles": ("a tensor that doubles 40 times", _by_data(_grow, [64])),
    "broadcast": ("a column and a row of 10^6", _by_data(_spread, [10**6, 1])),
    "kept": ("40 tensors of 100 MB at once", _by_data(_keep_all, [25 * 10**6], _FLOAT_1)),
    "reshape_impossible": (
        "a reshape to other lengths",
        _by_data(lambda s: [node("Reshape", ["input", s], ["b"])], [7, 11]),
    ),
}
for _name, (_why, _make) in _RUN_TIME.items():
    RUN_TIME.add(_name, _why, _make)
RUN_TIME.add("matmul_slow", "16 products of 4,000 by 4,000", _by_data(_multiply, [4000, 4000]), is_slow=True)


def _index(operator: str, indices: object, **attributes: object) -> Maker:
    return lambda _: model(
        [conv(made="t"), node(operator, ["t", "i"], ["b"], **attributes), *sum_into("b")],
        [WEIGHTS, const("i", indices)],
    )


INDICES = Family("indices", _index("Gather", [0, 3], axis=1))
_INDICES: dict[str, tuple[str, Maker]] = {
    "gather_beyond": ("reads beyond the tensor", _index("Gather", [2**40], axis=1)),
    "gather_before": ("reads before the tensor", _index("Gather", [-(2**40)], axis=1)),
    "gather_nd_beyond": ("reads beyond the tensor", _index("GatherND", [[2**40, 0, 0, 0]])),
    "gather_nd_before": ("reads before the tensor", _index("GatherND", [[-(2**40), 0, 0, 0]])),
    "gather_nd_rank": ("a place in more axes than there are", _index("GatherND", [[0, 0, 0, 0, 0, 0]])),
    "gather_elements_beyond": ("reads beyond the tensor", _index("GatherElements", [[[[2**40]]]])),
    "axis_beyond": ("an axis that there is not", _index("Gather", [0], axis=99)),
    "scatter_nd_beyond": (
        "writes beyond the tensor",
        lambda _: model(
            [node("ScatterND", ["input", "i", "u"], ["out"])],
            [const("i", [[2**40, 0, 0, 0]]), const("u", [1.0], np.float32)],
        ),
    ),
    "scatter_elements_beyond": (
        "writes beyond the tensor",
        lambda _: model(
            [node("ScatterElements", ["input", "i", "u"], ["out"])],
            [const("i", [[[[2**40]]]]), const("u", [[[[1.0]]]], np.float32)],
        ),
    ),
    "unsqueeze_beyond": ("an axis that there is not", _index("Unsqueeze", [99])),
    "reduce_beyond": ("an axis that there is not", _index("ReduceSum", [-99])),
}
for _name, (_why, _make) in _INDICES.items():
    INDICES.add(_name, _why, _make)
FAMILIES = (STATIC, RUN_TIME, INDICES)

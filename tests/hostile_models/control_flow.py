"""Graphs within graphs, and loops."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.hostile_models.family import Family
from tests.hostile_models.parts import SHAPE_1, WEIGHTS, const, conv, graph, model, node, one_of_data, sum_into, value

_TRUE = const("true", True, bool)
_ANY = value("any", shape=None)


def _branch(nodes: list[onnx.NodeProto], made: str) -> onnx.GraphProto:
    return graph(nodes, f"graph_of_{made}", [], [value(made, shape=None)])


def _nest(levels: int, *, both: bool, condition: str = "true") -> onnx.ModelProto:
    """Return Ifs within Ifs, in one branch or in both."""
    inner = _branch([node("Identity", ["t"], ["y0"])], "y0")
    for level in range(1, levels):
        other = inner if both else _branch([node("Identity", ["t"], [f"z{level}"])], f"z{level}")
        inner = _branch([node("If", [condition], [f"y{level}"], then_branch=inner, else_branch=other)], f"y{level}")
    other = _branch([node("Identity", ["t"], ["z"])], "z")
    return model(
        [conv(made="t"), node("If", [condition], ["out"], then_branch=inner, else_branch=other)], [WEIGHTS, _TRUE]
    )


NESTING = Family("nesting", lambda _: _nest(3, both=False))
for _levels in (10, 13, 16):
    NESTING.add(
        f"doubles_{_levels}", "branches that double at each level", lambda _, levels=_levels: _nest(levels, both=True)
    )
for _levels in (12, 24, 30):
    NESTING.add(f"levels_{_levels}", "branches within branches", lambda _, levels=_levels: _nest(levels, both=False))


@NESTING.kind("sequences of sequences, 80 levels")
def _type_of_sequences(_: Path) -> onnx.ModelProto:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    for _level in range(25):
        kind = helper.make_sequence_type_proto(kind)
    return model([conv()], inputs=[value("input", shape=["n", 3, 8, 8]), helper.make_value_info("deep", kind)])


def _loop(
    body: list[onnx.NodeProto],
    *,
    trips: int = 5,
    condition: str = "true",
    state: str = "input",
    scans: tuple[str, ...] = (),
    after: list[onnx.NodeProto] | None = None,
    before: tuple[onnx.NodeProto, ...] = (),
    initializers: tuple[TensorProto, ...] = (),
    opset: int = 21,
) -> onnx.ModelProto:
    """Return a Loop of one state x; its body makes `go` (whether to go on), `y` and what it scans."""
    inside = graph(
        body,
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("x", shape=None)],
        [value("go", TensorProto.BOOL, []), *(value(name, shape=None) for name in ("y", *scans))],
    )
    loop = node("Loop", ["trips", condition, state], ["looped", *(f"all_{name}" for name in scans)], body=inside)
    rest = [node("Identity", ["looped"], ["out"])] if after is None else after
    return model([*before, loop, *rest], [_TRUE, const("trips", trips), *initializers], opset=opset)


_GO = node("Identity", ["c"], ["go"])
_SAME = node("Identity", ["x"], ["y"])
LOOPS = Family("loops", lambda _: _loop([_GO, node("Tanh", ["x"], ["y"])]))

for _trips in (10**7, 2**62):
    LOOPS.add(
        f"trips_{_trips}",
        "more trips than anybody waits for",
        lambda _, trips=_trips: _loop([_GO, node("Tanh", ["x"], ["y"])], trips=trips),
    )
LOOPS.add(
    "condition_never_ends",
    "a condition that is computed, and always true",
    lambda _: _loop([node("Less", ["i", "trips"], ["go"]), node("Tanh", ["x"], ["y"])], trips=2**62),
    is_slow=True,
)
LOOPS.add(
    "state_doubles",
    "a state that doubles at each trip: 2^60 times its size",
    lambda _: _loop([_GO, node("Concat", ["x", "x"], ["y"], axis=3)], trips=60, after=sum_into("looped")),
)
LOOPS.add(
    "state_doubles_by_data",
    "the same, by a condition that is computed",
    lambda _: _loop(
        [node("Less", ["i", "trips"], ["go"]), node("Concat", ["x", "x"], ["y"], axis=0)],
        trips=2**40,
        after=sum_into("looped"),
    ),
)
LOOPS.add(
    "scans_gibibytes",
    "an output of 10^5 states, of 10^6 numbers each",
    lambda _: _loop(
        [_GO, _SAME, node("Identity", ["x"], ["z"])],
        trips=10**5,
        state="large",
        scans=("z",),
        before=(
            *one_of_data(),
            node("Mul", ["one", "million"], ["size"]),
            node("ConstantOfShape", ["size"], ["large"]),
        ),
        initializers=(SHAPE_1, const("million", [10**6])),
        after=sum_into("all_z"),
    ),
)
LOOPS.add("condition_of_floats", "a condition that is none", lambda _: _loop([_GO, _SAME], condition="input"))
LOOPS.add("body_makes_nothing", "a body that does not make its outputs", lambda _: _loop([_SAME]))
LOOPS.add("trips_undefined", "a number of trips that nobody makes", lambda _: _loop([_GO, _SAME], condition="nowhere"))


@LOOPS.kind("no body")
def _body_missing(_: Path) -> onnx.ModelProto:
    return model([node("Loop", ["trips", "true", "input"], ["out"])], [_TRUE, const("trips", 3)])


@LOOPS.kind("loops within loops: 3,000 times 3,000 times 3,000 trips")
def _nested(_: Path) -> onnx.ModelProto:
    made = _loop([_GO, node("Tanh", ["x"], ["y"])], trips=3000)
    for level in range(2):
        loop = made.graph.node[0]
        inner = onnx.NodeProto()
        inner.CopyFrom(loop)
        inner.input[2], inner.output[0] = f"x{level}", f"y{level}"
        body = graph(
            [node("Identity", [f"c{level}"], [f"go{level}"]), inner],
            f"body{level}",
            [
                value(f"i{level}", TensorProto.INT64, []),
                value(f"c{level}", TensorProto.BOOL, []),
                value(f"x{level}", shape=None),
            ],
            [value(f"go{level}", TensorProto.BOOL, []), value(f"y{level}", shape=None)],
        )
        made.graph.node[0].CopyFrom(node("Loop", ["trips", "true", "input"], ["looped"], body=body))
    return made


def _scan(inputs: int) -> onnx.ModelProto:
    body = graph([node("Identity", ["x"], ["y"])], "body", [value("x", shape=None)], [value("y", shape=None)])
    return model([conv(made="t"), node("Scan", ["t"], ["out"], body=body, num_scan_inputs=inputs)])


for _inputs in (-1, 0, 10**9):
    LOOPS.add(f"scan_inputs_{_inputs}", "a scan of more inputs than it has", lambda _, inputs=_inputs: _scan(inputs))

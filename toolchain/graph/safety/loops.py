"""Loops whose number of trips is known before the model runs."""

from __future__ import annotations

import onnx

from toolchain.errors import malformed
from toolchain.graph.safety.scopes import Constants, iter_scoped_nodes
from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes

# Node runs of one loop, within loops the product: ONNX Runtime takes about a microsecond for the smallest, so some 10 s.
_RUNS_MAX = 10_000_000


def check_loops(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) loops that are known to run too many nodes.

    Most loops with a large number of trips end by their condition: exporters write 2^63 - 1 for `while`. Known is the
    number of those whose condition never changes.
    """
    for node, constants in iter_scoped_nodes(model):
        trips = _count_trips(node, constants)
        if trips is None:
            continue
        (body,) = (attribute.g for attribute in node.attribute if attribute.name == "body")
        runs = trips * max(1, sum(1 for _ in iter_nodes(body)))
        if runs > _RUNS_MAX:
            raise malformed(
                "a loop of the model runs too long",
                where=f"{where}: node {node.name!r} (Loop)",
                expected=f"at most {_RUNS_MAX} runs of nodes",
                found=f"{trips} trips",
                fix="export the model with a shorter loop, or without one",
            )


def _count_trips(node: onnx.NodeProto, constants: Constants) -> int | None:
    if node.op_type != "Loop" or node.domain not in ONNX_DOMAINS or len(node.input) < 2:
        return None
    trips = constants.read(node.input[0])
    bodies = [attribute.g for attribute in node.attribute if attribute.name == "body"]
    if trips is None or trips.size != 1 or len(bodies) != 1:
        return None
    condition = constants.read(node.input[1])
    is_open = not node.input[1] or (condition is not None and bool(condition.all()))
    return int(trips.flat[0]) if is_open and _keeps_condition(bodies[0]) else None


def _keeps_condition(body: onnx.GraphProto) -> bool:
    """Return whether a body returns the condition that it was given, or none that it computed."""
    if len(body.input) < 2 or not body.output:
        return False
    name = body.output[0].name
    made = {output: node for node in body.node for output in node.output}
    while name in made and made[name].op_type == "Identity" and made[name].domain in ONNX_DOMAINS:
        name = made.pop(name).input[0]
    return name == body.input[1].name or name not in made or made[name].op_type == "Constant"

"""The bytes themselves: truncated, contradictory, nested, small ones that become large."""

import random
from pathlib import Path

from tests.hostile_models.family import Family
from tests.hostile_models.parts import field, good, varint

# Fields of onnx.proto.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER, _NODE_ATTRIBUTE, _ATTRIBUTE_G = 7, 1, 5, 5, 6


def _good_with_unknown_fields(_: Path) -> bytes:
    """Readers skip fields that they do not know: protobuf's rule."""
    return good().SerializeToString() + field(500, b"unknown")


FAMILY = Family("bytes", _good_with_unknown_fields)
_GOOD = good().SerializeToString()

for _percent in (1, 30, 60, 99):
    FAMILY.add(
        f"truncated_{_percent}", "a copy that was not finished", lambda _, to=_percent: _GOOD[: len(_GOOD) * to // 100]
    )
FAMILY.add("length_negative", "a message of negative length", lambda _: _GOOD + b"\x3a" + b"\xff" * 9 + b"\x01")
FAMILY.add("length_beyond", "a message longer than the file", lambda _: _GOOD + b"\x3a" + varint(2**40))
FAMILY.add("varint_without_end", "a number that does not end", lambda _: b"\x08" + b"\xff" * 1000)
FAMILY.add("field_zero", "a field of no number", lambda _: _GOOD + b"\x00\x00")
FAMILY.add("wire_type_7", "a wire type that there is not", lambda _: _GOOD + b"\x07")
FAMILY.add("group_not_ended", "a group without an end", lambda _: _GOOD + b"\xa3\x06")
FAMILY.add("groups_200k", "200,000 groups in each other", lambda _: _GOOD + b"\xa3\x06" * 200_000)
FAMILY.add("group_ended_twice", "the end of no group", lambda _: _GOOD + b"\xa4\x06")
FAMILY.add("graph_as_number", "a number where a graph is", lambda _: b"\x08\x0a\x38\x01")
FAMILY.add(
    "graph_twice",
    "two graphs, which parsers merge",
    lambda _: _GOOD + field(_MODEL_GRAPH, good().graph.SerializeToString()),
)
FAMILY.add("only_version", "a version and no graph", lambda _: b"\x08\x0a")
FAMILY.add("zeros", "64 KiB of zeros", lambda _: bytes(2**16))
FAMILY.add("random", "64 KiB of random bytes", lambda _: random.Random(7).randbytes(2**16))
FAMILY.add(
    "empty_nodes_2m",
    "2 million nodes of two bytes, each a hundred once parsed",
    lambda _: _GOOD + field(_MODEL_GRAPH, field(_GRAPH_NODE, b"") * 2_000_000),
)
FAMILY.add(
    "empty_nodes_20m",
    "20 million nodes of two bytes: gigabytes once parsed",
    lambda _: _GOOD + field(_MODEL_GRAPH, field(_GRAPH_NODE, b"") * 20_000_000),
    is_slow=True,
)
FAMILY.add(
    "empty_attributes_2m",
    "2 million attributes of one node",
    lambda _: _GOOD + field(_MODEL_GRAPH, field(_GRAPH_NODE, field(_NODE_ATTRIBUTE, b"") * 2_000_000)),
)
FAMILY.add(
    "empty_initializers_2m",
    "2 million initializers without a name",
    lambda _: _GOOD + field(_MODEL_GRAPH, field(_GRAPH_INITIALIZER, b"") * 2_000_000),
)


@FAMILY.kind("1,000 graphs in each other, beyond what the parser follows")
def _graphs_1000(_: Path) -> bytes:
    graph = b""
    for _level in range(1000):
        graph = field(_GRAPH_NODE, field(_NODE_ATTRIBUTE, field(_ATTRIBUTE_G, graph)))
    return b"\x08\x0a" + field(_MODEL_GRAPH, graph)

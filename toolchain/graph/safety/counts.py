"""How much of each thing a model may have, counted once and before anything else looks at it.

What reads a graph takes at least linear time in each of these, and some of it (onnxsim, shape inference, the passes)
more: without a limit a file of some MiB takes minutes, or a hundred times its size in memory.
"""

from __future__ import annotations

from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from toolchain.errors import ToolchainError, malformed

# Of a model, those of subgraphs and of functions where they are called included. 100,000 Relu took 22 s through
# optimize and lower, which is linear; of the models of benchmarks/wild.py the largest has 860.
NODES_MAX = 30_000
# Subgraphs in subgraphs. Exported control flow reaches 3 (silero_vad); each level can double what a pass visits.
DEPTH_MAX = 8
# Inputs or outputs of a graph. A transformer with a cache per layer has some hundred.
VALUES_MAX = 1_000
# Protobuf messages in all: a node with its attributes, types and shapes is some twenty.
MESSAGES_MAX = 1_000_000
# Names, descriptions, metadata and strings in all: a stack trace for each node makes some MiB, and each pass copies it.
TEXT_MAX_BYTES = 16 * 2**20
# One name: it is printed, compared and made a file name. PyTorch's longest are some hundred letters.
NAME_MAX_BYTES = 4096
# Numbers in attributes and shapes: the largest published tree ensembles have some 10^6.
NUMBERS_MAX = 10_000_000

_FIX = "export a smaller or simpler model; do not use a file whose source you do not trust"
# Fields of text that is shown to nobody by itself, and may be long.
_LONG_TEXT = {"doc_string", "value"}
_NAMES_MAX_SHOWN = 40


def check_counts(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) a model with too much of anything, or with text that is not UTF-8."""
    _Census(where).visit(model, depth=0)


class _Census:
    """Counts what a model has on one walk through its messages; raises at the first limit that is passed."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._nodes = self._messages = self._text_bytes = self._numbers = 0

    def visit(self, message: Message, *, depth: int) -> None:
        """Count a message and those inside it; `depth`: how many graphs it is in."""
        if isinstance(message, onnx.GraphProto | onnx.FunctionProto):
            depth += isinstance(message, onnx.GraphProto)
            self._count_graph(message, depth)
        try:
            fields = message.ListFields()
        except UnicodeDecodeError as error:
            raise self._refuse_text(message, error) from error
        for field, value in fields:
            values = value if field.is_repeated else (value,)
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                self._messages += len(values)
                self._limit("messages", self._messages, MESSAGES_MAX)
                for child in values:
                    self.visit(child, depth=depth)
            elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                if field.name != "raw_data":
                    self._count_text(message, field, values)
            elif field.is_repeated and not isinstance(message, onnx.TensorProto):
                self._numbers += len(values)
                self._limit("numbers in attributes", self._numbers, NUMBERS_MAX)

    def _count_graph(self, graph: onnx.GraphProto | onnx.FunctionProto, depth: int) -> None:
        self._nodes += len(graph.node)
        self._limit("nodes", self._nodes, NODES_MAX)
        self._limit("graphs within each other", depth - 1, DEPTH_MAX)
        for kind in ("input", "output"):
            self._limit(f"{kind}s", len(getattr(graph, kind)), self._limit_of_values(graph, kind))

    def _limit_of_values(self, graph: onnx.GraphProto | onnx.FunctionProto, kind: str) -> int:
        """Return how many inputs or outputs a graph may have: initializers may be listed as inputs."""
        is_input = kind == "input" and isinstance(graph, onnx.GraphProto)
        return VALUES_MAX + (len(graph.initializer) if is_input else 0)

    def _count_text(self, message: Message, field: FieldDescriptor, values: Any) -> None:
        for text in values:
            try:
                data = text if isinstance(text, bytes) else text.encode()
                data.decode()
            except UnicodeError as error:
                raise self._refuse_text(message, error) from error
            self._text_bytes += len(data)
            is_name = field.type == FieldDescriptor.TYPE_STRING and field.name not in _LONG_TEXT
            if is_name:
                self._limit(f"bytes in a name ({field.name})", len(data), NAME_MAX_BYTES)
        self._limit("bytes of names, descriptions and other text", self._text_bytes, TEXT_MAX_BYTES)

    def _limit(self, of_what: str, count: int, most: int) -> None:
        if count > most:
            raise malformed(
                f"the model has too many {of_what}",
                where=self._where,
                expected=f"at most {most}",
                found=str(count),
                fix=_FIX,
            )

    def _refuse_text(self, message: Message, error: UnicodeError) -> ToolchainError:
        shown = error.object[:_NAMES_MAX_SHOWN] if isinstance(error, UnicodeDecodeError) else str(error)
        return malformed(
            "a text in the model is not UTF-8",
            where=f"{self._where}: {message.DESCRIPTOR.name}",
            expected="names and strings in UTF-8, as the ONNX specification says",
            found=repr(shown),
            fix="export the model again with plain names",
        )

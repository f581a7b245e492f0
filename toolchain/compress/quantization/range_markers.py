"""Learned ranges in a PyTorch model: fake quantization with what was learned, which the exporter writes as Q/DQ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed, the operators that the exporter knows
from torch import Tensor, fx, nn

from toolchain.compress.quantization.trace import trace
from toolchain.errors import malformed
from toolchain.module.structure import Edit, LearnedRange

LEVEL_MAX = 255
"""The greatest of the numbers of uint8, from 0."""

# float32's smallest normal number: some kernels flush a smaller scale to zero.
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Grid:
    """real = scale * (number - zero_point), the number from 0 to 255; the arithmetic of the int8 lowering."""

    scale: float
    """Exact in float32."""
    zero_point: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number that it has."""
        return -self.zero_point * self.scale, (LEVEL_MAX - self.zero_point) * self.scale

    @classmethod
    def cover(cls, low: float, high: float) -> Grid:
        """Return the grid that covers a range and 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max((high - low) / LEVEL_MAX, _SMALLEST_SCALE)))
        return cls(scale, int(np.clip(np.rint(-low / scale), 0, LEVEL_MAX)))


class FixedRange(nn.Module):
    """Rounds a tensor to the 256 values of its grid, and clips it to them."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.scale, self.zero_point = grid.scale, grid.zero_point

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded tensor, shaped as x."""
        operators = torch.ops.quantized_decomposed
        numbers = operators.quantize_per_tensor(x, self.scale, self.zero_point, 0, LEVEL_MAX, torch.uint8)
        rounded: Tensor = operators.dequantize_per_tensor(
            numbers, self.scale, self.zero_point, 0, LEVEL_MAX, torch.uint8
        )
        return rounded


def insert_learned_ranges(model: nn.Module, edits: Sequence[Edit]) -> nn.Module:
    """Return the model with its learned ranges at work; the model itself where it has none.

    Raises ToolchainError (exit 23) where a range is of a node that the traced model does not have.
    """
    learned = [edit for edit in edits if isinstance(edit, LearnedRange)]
    if not learned:
        return model
    graph = trace(model, method="qat")
    nodes = {node.name: node for node in graph.graph.nodes}
    if unknown := [edit.node for edit in learned if edit.node not in nodes]:
        raise malformed(
            "a learned range is of another model",
            where=type(model).__name__,
            expected=f"a node {unknown[0]} in the traced model",
            found="none",
            fix="compress the model again",
        )
    insert_markers(graph, ((nodes[edit.node], FixedRange(Grid.cover(edit.low, edit.high))) for edit in learned))
    return graph.eval()


def insert_markers(graph: fx.GraphModule, markers: Iterable[tuple[fx.Node, nn.Module]]) -> None:
    """Let every reader of a node read it through its marker, in place."""
    for node, marker in markers:
        name = f"range_of_{node.name}"
        graph.add_submodule(name, marker)
        with graph.graph.inserting_after(node):
            read = graph.graph.call_module(name, (node,))
        for reader in list(node.users):
            if reader is not read:
                reader.replace_input_with(node, read)
    graph.recompile()

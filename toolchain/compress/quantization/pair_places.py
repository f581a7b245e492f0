"""Where int8's pairs will stand in a traced model: asked of the deployment, which alone has the rules.

Every tensor of the trace is marked with a pair whose range no other has. The exporter writes the pairs, and their
ranges say which tensor of the ONNX graph is which of the module. Without them, the graph is optimized as it will be, and
the int8 policy of ONNX Runtime plans it. docs/compression/qat.md says why this policy, for every target.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import fx, nn

from toolchain.agent.temporary import TemporaryFolder
from toolchain.compress.quantization.range_markers import Grid, insert_learned_ranges
from toolchain.graph.file import read_onnx
from toolchain.graph.learned_ranges import remove_pairs
from toolchain.graph.session import HostSession
from toolchain.graph.view import GraphView
from toolchain.lower.moved_values import find_same_values
from toolchain.lower.runtimes.onnxruntime import plan_int8
from toolchain.lower.weighted import find_weight
from toolchain.module.export import export_onnx
from toolchain.module.structure import LearnedRange
from toolchain.optimize import optimize

Ranges = Mapping[str, tuple[float, float]]


# Between what PyTorch and ONNX Runtime compute, of a tensor's largest value; what a pass moved differs by more.
_SAME_VALUES = 1e-3


@dataclass(frozen=True)
class PairPlaces:
    """What the deployment will compute in int8, in the words of the traced model."""

    nodes: tuple[str, ...]
    """Those whose tensors get a pair with a range of its own, in the graph's order."""
    layers: frozenset[str]
    """The modules of one layer each whose weights become int8, at every call."""
    untraced: tuple[str, ...]
    """Calls inside of which a tensor gets a pair that is none of the trace's, as nn.SiLU with its sigmoid."""


def find_pair_places(
    model: nn.Module,
    graph: fx.GraphModule,
    ranges: Ranges,
    batch: Mapping[str, NDArray[Any]],
    *,
    keep_float: Collection[str] = (),
) -> PairPlaces:
    """Return the places of the pairs of a model's deployment.

    Args:
        model: In evaluation mode, its batch norms folded.
        graph: Its trace.
        ranges: Of its float32 tensors, by node; any that leave the values about as they are.
        batch: What the model takes, by the names of its inputs.
        keep_float: Modules whose layers are to stay in float.

    Raises ToolchainError where the model cannot be exported or optimized, as those stages do.
    """
    exported, tensors = _export_marked(model, _select_computed(graph, ranges), batch)
    view = GraphView.from_model(optimize(exported, [dict(batch)]).model)
    twin = _Twin(graph, view, tensors)
    layers = twin.find_layers()
    floats = {node for name in keep_float for called, nodes in layers.items() if _holds(called, name) for node in nodes}
    plan = plan_int8(view.model, frozenset(floats))
    sharing = {node.output for node in plan.nodes if node.shares_range}
    places = {name: find_same_values(view, name, twin.marked) for name in plan.tensors if name not in sharing}
    equal = twin.select_equal({place for place in places.values() if place is not None}, batch)
    found = {twin.marked[place] for place in equal}
    weighted = set(plan.weighted_layers)
    return PairPlaces(
        nodes=tuple(node.name for node in graph.graph.nodes if node.name in found),
        layers=frozenset(name for name, nodes in layers.items() if nodes and nodes <= weighted),
        untraced=tuple(dict.fromkeys(twin.name_call(name) for name, place in places.items() if place not in equal)),
    )


def _select_computed(graph: fx.GraphModule, ranges: Ranges) -> Ranges:
    """Return the ranges of tensors that depend on the model's inputs: a constant gets no pair."""
    computed: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or not computed.isdisjoint(node.all_input_nodes):
            computed.add(node)
    return {node.name: ranges[node.name] for node in graph.graph.nodes if node in computed and node.name in ranges}


def _export_marked(
    model: nn.Module, ranges: Ranges, batch: Mapping[str, NDArray[Any]]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the exported graph, and for every traced node that is marked its tensor there."""
    nodes: dict[tuple[float, float], str] = {}
    edits: list[LearnedRange] = []
    for name, (low, high) in ranges.items():
        grid = Grid.cover(low, high)
        while grid.bounds in nodes:
            grid = Grid(float(np.nextafter(np.float32(grid.scale), np.float32(np.inf))), grid.zero_point)
        nodes[grid.bounds] = name
        edits.append(LearnedRange(node=name, low=grid.bounds[0], high=grid.bounds[1]))
    with TemporaryFolder() as folder:
        path = folder / "marked.onnx"
        export_onnx(insert_learned_ranges(model, edits), batch, path)
        exported, found = remove_pairs(read_onnx(path, trusted=True))
    return exported, {nodes[mark]: tensor for tensor, marks in found.items() for mark in marks}


class _Twin:
    """The optimized graph beside the trace that it is of."""

    def __init__(self, graph: fx.GraphModule, view: GraphView, tensors: Mapping[str, str]) -> None:
        self._graph = graph
        self._view = view
        kept = view.producers.keys() | {value.name for value in view.model.graph.input}
        self._tensors = {node: tensor for node, tensor in tensors.items() if tensor in kept}
        self.marked: dict[str, str] = {}
        """The first traced node that a tensor is: those behind it do nothing, as Dropout in evaluation."""
        for node in graph.graph.nodes:
            if node.name in self._tensors:
                self.marked.setdefault(self._tensors[node.name], node.name)

    def find_layers(self) -> dict[str, set[str]]:
        """Return for every module that the trace calls the nodes with weights that it became."""
        layers: dict[str, set[str]] = {}
        for node in self._graph.graph.nodes:
            if node.op == "call_module":
                found = layers.setdefault(str(node.target), set())
                for tensor in self._find_ends(node):
                    found.update(self._find_weighted(tensor))
        return layers

    def _find_ends(self, node: fx.Node) -> Iterator[str]:
        """Yield the tensor that a traced node is; where a pass merged it into those behind it, the first of those."""
        if node.name in self._tensors:
            yield self._tensors[node.name]
            return
        for user in node.users:
            yield from self._find_ends(user)

    def _find_weighted(self, tensor: str) -> Iterator[str]:
        """Yield the nodes with weights between a tensor and the marked ones before it."""
        waiting, seen = [tensor], {tensor}
        while waiting:
            producer = self._view.producers.get(waiting.pop())
            if producer is None:
                continue
            if find_weight(self._view, producer) is not None:
                yield producer.name
            new = {name for name in producer.input if name not in self.marked} - seen
            seen |= new
            waiting += sorted(new)

    def select_equal(self, tensors: Collection[str], batch: Mapping[str, NDArray[Any]]) -> set[str]:
        """Return those of the marked tensors that hold the values that their traced nodes return.

        A pass may let a name stand for other values: onnxsim folds a multiplication into the convolution before it,
        whose output keeps its name.
        """
        made = sorted(name for name in tensors if name in self._view.producers)
        found = HostSession(self._view.model, fused=False, tensors=made).run(batch)
        values = _Values(self._graph, {self.marked[name] for name in made})
        with torch.no_grad():
            values.run(*map(torch.from_numpy, batch.values()))
        changed = {name for name in made if not _is_equal(found[name], values.kept[self.marked[name]])}
        return set(tensors) - changed

    def name_call(self, tensor: str) -> str:
        """Return the traced call inside of which a tensor is: the first that it, or what is behind it, is of."""
        nodes = {node.name: node for node in self._graph.graph.nodes}
        waiting, seen = [tensor], {tensor}
        for name in waiting:
            if name in self.marked:
                node = nodes[self.marked[name]]
                while node.target is operator.getitem:
                    node = node.args[0]
                return str(node.target) if node.op == "call_module" else str(node.name)
            new = [output for reader in self._view.consumers.get(name, ()) for output in reader.output]
            waiting += [output for output in dict.fromkeys(new) if output not in seen]
            seen.update(new)
        return tensor


class _Values(fx.Interpreter):
    """Runs a graph and keeps what some of its nodes return."""

    def __init__(self, graph: fx.GraphModule, names: Collection[str]) -> None:
        super().__init__(graph)
        self._names = names
        self.kept: dict[str, NDArray[Any]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return the node's value."""
        value = super().run_node(n)
        if n.name in self._names:
            self.kept[n.name] = value.numpy().copy()  # what follows may change it in place
        return value


def _is_equal(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    largest = float(np.abs(expected).max(initial=0, where=np.isfinite(expected)))
    return bool(np.allclose(found, expected, rtol=0, atol=_SAME_VALUES * largest, equal_nan=True))


def _holds(called: str, name: str) -> bool:
    """Return whether a called module is a module of this name, or one that it lies in."""
    return name == called or name.startswith(f"{called}.")

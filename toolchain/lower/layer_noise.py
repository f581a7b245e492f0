r"""What each layer alone in int8 leaves of the outputs: all layers in one pass over the float model.

Where a layer stands, its int8 kernel's result for what the float model hands it takes the place of the float result, in a
run of its own from there to the outputs. In front of it that run is the float model's, which is made once; and each piece of the
model is opened once, however many runs pass it:

    x -> piece 1 -> piece 2 -> piece 3 -> y
            \-> int8 -> piece 2 -> piece 3 -> y with layer 1 in int8
                   \-> int8 -> piece 3 -> y with layer 2 in int8

It ranks layers and decides nothing: sums are exact, and the conversions of an Add or of a pool between int8 neighbours are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.graph.session import HostSession
from toolchain.graph.view import GraphView, read_names
from toolchain.lower.adjustment import find_bias_place
from toolchain.lower.cut import PIECES_PER_TRIM, Cut, OpenPiece, Piece, Values, open_nodes
from toolchain.lower.each import count_cpus, do_each, take_each
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode
from toolchain.run.heap import trim_heap

# Of tensors that runs under way do not share with the float model's: layers that would need more wait for another pass.
_MEMORY_BYTES = 96 * 2**20


class _Layer:
    """A layer in int8 by itself, from the tensors that it reads to those that it returns."""

    def __init__(self, lowered: GraphView, planned: QuantizedNode, returned: tuple[str, ...]) -> None:
        """Take the nodes of the int8 model that stand between; what they return is rounded where the model rounds it."""
        rounded = {name: _find_rounding(lowered, name) for name in returned}
        nodes, self.inputs = _collect_nodes(lowered, returned, planned.activations)
        self.returned = returned
        self._nodes = [*nodes, *(node for pair in rounded.values() for node in pair)]
        self._outputs = [pair[-1].output[0] if pair else name for name, pair in rounded.items()]
        self._lowered = lowered
        self._session: HostSession | None = None

    def run(self, known: Values, *, any_shape: bool) -> Values:
        """Return what it makes of the float model's tensors."""
        given = {name: known[name] for name in self.inputs}
        self._session = self._session or self._open(given, any_shape=any_shape)
        return dict(zip(self.returned, self._session.run(given).values(), strict=True))

    def _open(self, given: Values, *, any_shape: bool) -> HostSession:
        read = dict.fromkeys(name for node in self._nodes for name in read_names(node))
        constants = [self._lowered.initializers[name] for name in read if name in self._lowered.initializers]
        arrays = {name: [value] for name, value in given.items()}
        return open_nodes(self._lowered.model, self._nodes, constants, arrays, self._outputs, any_shape=any_shape)


def measure_alone_db(
    model: onnx.ModelProto,
    lowered: onnx.ModelProto,
    plan: QdqPlan,
    layers: Mapping[str, Sequence[str]],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    *,
    on_layer: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return the SQNR in dB of the worst output with each layer alone in int8.

    lowered: the model with all of these layers in int8. layers: each with all that share its weight, itself among them, whose noise is
    added up. Raises ToolchainError where a piece of the model does not open or run by itself.
    """
    owners = {name: layer for layer, sharing in layers.items() for name in sharing}
    alone = _list_layers(model, lowered, [node for node in plan.nodes if node.name in owners])
    outputs = [value.name for value in model.graph.output]
    seen = {name for layer in alone.values() for name in (*layer.inputs, *layer.returned)}
    needed = [(name, layer.returned[0]) for layer in alone.values() for name in layer.inputs]
    cut = Cut(model, {*outputs, *seen}, to_the_end=outputs, kept_for=needed)
    passes = _Passes(cut, any_shape=_differ(feeds))
    signal = dict.fromkeys(outputs, 0.0)
    noise = {layer: dict.fromkeys(outputs, 0.0) for layer in layers}
    done = 0
    for feed in feeds:
        waiting = dict(alone)
        while waiting:
            reference, runs = passes.run(feed, waiting)
            for name, state in runs.items():
                for output in outputs:
                    noise[owners[name]][output] += measure_powers(reference[output], state[output]).noise
            for _ in range((done + len(runs)) // len(feeds) - done // len(feeds)):
                on_layer()
            done += len(runs)
        for output in outputs:
            signal[output] += measure_powers(reference[output], reference[output]).signal
    return {
        layer: min(float(to_db(signal[output], powers[output])) for output in outputs)
        for layer, powers in noise.items()
    }


class _Passes:
    """The float model in pieces, each opened once."""

    def __init__(self, cut: Cut, *, any_shape: bool) -> None:
        self._cut = cut
        self._any_shape = any_shape
        self._pieces = list(cut.list_pieces())
        self._opened: dict[int, OpenPiece] = {}
        self._peaks_bytes: list[int] | None = None

    def run(self, feed: Mapping[str, NDArray[Any]], waiting: dict[str, _Layer]) -> tuple[Values, dict[str, Values]]:
        """Return what the float model returns, and with each of the layers alone in int8 that memory allowed.

        Those are taken out of `waiting`; at least one is.
        """
        peaks_bytes = self._peaks_bytes = self._peaks_bytes or self._foresee(feed)
        reference: Values = dict(feed)
        runs: dict[str, Values] = {}
        held_bytes = 0
        for number, (piece, peak_bytes) in enumerate(zip(self._pieces, peaks_bytes, strict=True), start=1):
            if number % PIECES_PER_TRIM == 0:
                trim_heap()
            starting: dict[str, Values] = {}
            for name in [name for name, layer in waiting.items() if layer.returned[0] in piece.found]:
                if held_bytes and held_bytes + peak_bytes > _MEMORY_BYTES:
                    break
                held_bytes += max(peak_bytes, 1)
                starting[name] = waiting.pop(name).run(reference, any_shape=self._any_shape)
            opened, names, states = self._open(piece, reference), list(runs), [reference, *runs.values()]
            runs.clear()
            reference, *others = do_each(opened.run, take_each(states), workers=count_cpus())
            runs.update(zip(names, others, strict=True))
            runs.update({name: {**reference, **values} for name, values in starting.items()})
        return reference, runs

    def _foresee(self, feed: Mapping[str, NDArray[Any]]) -> list[int]:
        """Return for each piece how many bytes of its own a run that begins behind it will hold at the most."""
        known: Values = dict(feed)
        made_by = dict.fromkeys(known, -1)
        kept: list[list[tuple[int, int]]] = []
        for number, piece in enumerate(self._pieces):
            known = self._open(piece, known).run(known)
            made_by = {name: made_by.get(name, number) for name in known}
            kept.append([(made_by[name], value.nbytes) for name, value in known.items()])
        return [
            max(sum(size for made, size in state if made >= number) for state in kept[number:])
            for number in range(len(kept))
        ]

    def _open(self, piece: Piece, known: Values) -> OpenPiece:
        if piece.last not in self._opened:
            self._opened[piece.last] = self._cut.open(piece, [known], any_shape=self._any_shape)
        return self._opened[piece.last]


def _differ(feeds: Sequence[Mapping[str, NDArray[Any]]]) -> bool:
    """Return whether samples have different shapes."""
    return len({tuple((name, value.shape) for name, value in sorted(feed.items())) for feed in feeds}) > 1


def _list_layers(model: onnx.ModelProto, lowered: onnx.ModelProto, nodes: Sequence[QuantizedNode]) -> dict[str, _Layer]:
    view, lowered_view = GraphView.from_model(model), GraphView.from_model(lowered)
    own = {node.name: node for node in model.graph.node}
    return {node.name: _Layer(lowered_view, node, _find_returned(view, own[node.name], node)) for node in nodes}


def _find_returned(view: GraphView, own: onnx.NodeProto, planned: QuantizedNode) -> tuple[str, ...]:
    """Return the tensors that a layer returns: behind its activation, and behind the Add that is its bias."""
    if planned.output is not None:
        return (planned.output,)
    place = find_bias_place(view, own)
    if place is not None and place.reader != own.name:
        (reader,) = view.consumers[own.output[0]]
        return (str(reader.output[0]),)
    return tuple(name for name in own.output if name)


def _find_rounding(lowered: GraphView, name: str) -> list[onnx.NodeProto]:
    """Return the pair behind a tensor, the second with an output of its own; [] where there is none."""
    quantize = next((node for node in lowered.consumers.get(name, ()) if node.op_type == "QuantizeLinear"), None)
    if quantize is None:
        return []
    integers = str(quantize.output[0])
    rounded = helper.make_node("DequantizeLinear", [integers, *quantize.input[1:]], [f"{integers}_alone"])
    return [quantize, rounded]


def _collect_nodes(
    lowered: GraphView, returned: Sequence[str], activations: Collection[str]
) -> tuple[list[onnx.NodeProto], tuple[str, ...]]:
    """Return the nodes between a layer's activations and what it returns, in their order, and what else they read."""
    wanted, inputs, made = [*returned], dict[str, None](), set[str]()
    while wanted:
        name = wanted.pop()
        if name in made or name in lowered.initializers:
            continue
        if name in activations or name not in lowered.producers:
            inputs[name] = None
            continue
        node = lowered.producers[name]
        made.update(node.output)
        wanted.extend(read_names(node))
    nodes = [node for node in lowered.model.graph.node if made.intersection(filter(None, node.output))]
    return nodes, tuple(inputs)

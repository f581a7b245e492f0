"""Counts the multiply-accumulates (MACs) of a network's layers, before TensorRT fuses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Tuple


@dataclass(frozen=True)
class MultiplyLayer:
    """A layer that multiplies; `macs` is None where its shapes do not tell."""

    name: str
    op: str
    macs: Optional[int]


# These multiply, but not by a rule that the shapes of a parsed network tell.
_UNCOUNTED = frozenset({"EINSUM", "ATTENTION_OUTPUT", "MOE", "PLUGIN_V2", "PLUGIN_V3"})


def list_multiply_layers(trt: Any, network: Any, batch: int) -> Tuple[MultiplyLayer, ...]:
    """Return the layers that multiply, in the network's order. A dynamic axis counts as `batch` where it is the first."""
    found = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kind = layer.type.name
        if kind in COUNTERS:
            # Under an axis of unknown length other than the batch there is no count.
            macs = COUNTERS[kind](trt, layer, batch) if _is_batch_alone_dynamic(network) else None
            found.append(MultiplyLayer(name=layer.name, op=kind, macs=macs))
        elif kind in _UNCOUNTED:
            found.append(MultiplyLayer(name=layer.name, op=kind, macs=None))
    return tuple(found)


def _is_batch_alone_dynamic(network: Any) -> bool:
    return all(
        length >= 0 for index in range(network.num_inputs) for length in tuple(network.get_input(index).shape)[1:]
    )


def _resolve(shape: Any, batch: int) -> Optional[Tuple[int, ...]]:
    lengths = tuple(shape)
    if lengths and lengths[0] < 0:
        lengths = (batch, *lengths[1:])
    return None if any(length < 0 for length in lengths) else lengths


def _multiply(lengths: Iterable[int]) -> int:
    product = 1
    for length in lengths:
        product *= length
    return product


def _view_as(untyped: Any, kind: Any) -> Any:
    # The way of TensorRT's Python binding from an ILayer to its kind; the object stays the same.
    untyped.__class__ = kind
    return untyped


def _count_convolution(trt: Any, layer: Any, batch: int) -> Optional[int]:
    # Every output element takes the C/groups * kernel products of its output channel.
    source, target = _resolve(layer.get_input(0).shape, batch), _resolve(layer.get_output(0).shape, batch)
    if source is None or target is None:
        return None
    convolution = _view_as(layer, trt.IConvolutionLayer)
    return _multiply(target) * (source[1] // int(convolution.num_groups)) * _multiply(convolution.kernel_size_nd)


def _count_deconvolution(trt: Any, layer: Any, batch: int) -> Optional[int]:
    # Every input element is spread over the M/groups * kernel of its input channel.
    source = _resolve(layer.get_input(0).shape, batch)
    if source is None:
        return None
    deconvolution = _view_as(layer, trt.IDeconvolutionLayer)
    spread = int(deconvolution.num_output_maps) // int(deconvolution.num_groups)
    return _multiply(source) * spread * _multiply(deconvolution.kernel_size_nd)


def _count_matmul(trt: Any, layer: Any, batch: int) -> Optional[int]:
    source, target = _resolve(layer.get_input(0).shape, batch), _resolve(layer.get_output(0).shape, batch)
    if source is None or target is None:
        return None
    depth = _find_depth(trt, _view_as(layer, trt.IMatrixMultiplyLayer), source)
    return _multiply(target) * depth


def _find_depth(trt: Any, matmul: Any, source: Sequence[int]) -> int:
    axis: Dict[Any, int] = {trt.MatrixOperation.NONE: -1, trt.MatrixOperation.TRANSPOSE: -2}
    return source[axis.get(matmul.op0, -1)]


# The layers whose MACs follow from the shapes, by TensorRT's name of their kind.
COUNTERS: Dict[str, Callable[[Any, Any, int], Optional[int]]] = {
    "CONVOLUTION": _count_convolution,
    "DECONVOLUTION": _count_deconvolution,
    "MATRIX_MULTIPLY": _count_matmul,
}

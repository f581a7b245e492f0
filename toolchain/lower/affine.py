"""The affine quantizer: a real range and a type become a scale and a zero point; a weight becomes integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.lower.ranges import TensorRange

ActivationType = Literal["uint8", "int8"]

LIMITS: dict[ActivationType, tuple[int, int]] = {"uint8": (0, 255), "int8": (-128, 127)}

# float32's smallest normal number: a scale below it is flushed to zero by some kernels.
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)

_LARGEST_FLOAT16 = np.float32(np.finfo(np.float16).max)
_SMALLEST_FLOAT16 = np.float32(np.finfo(np.float16).smallest_subnormal)
# Of a step: 127 multiples in float32 are off by less than 127 * 2^-23 of one.
_GRID_TOLERANCE = 1e-3

# A bias is stored as int32; half of its range leaves room for the sum that is added to it.
_BIAS_LIMIT = 2**30


@dataclass(frozen=True)
class AffineParameters:
    """real = scale * (quantized - zero_point), quantized in the limits of `dtype`."""

    scale: np.float32
    zero_point: int
    dtype: ActivationType


def affine_parameters(
    tensor_range: TensorRange, dtype: ActivationType, *, symmetric: bool, float16_scale: bool = False
) -> AffineParameters:
    """Return scale and zero point that cover a range; zero is always exactly representable.

    A symmetric range uses [-127, 127] of int8 around a zero point of 0, as TensorRT demands; its scale may be asked to
    be a float16 number.
    """
    low, high = min(tensor_range.low, 0.0), max(tensor_range.high, 0.0)
    lowest, highest = LIMITS[dtype]
    if symmetric:
        if dtype != "int8":
            msg = "a symmetric activation is int8: uint8 cannot hold a negative number around a zero point of 0"
            raise ValueError(msg)
        # What was trained or quantized on -128 to 127 steps keeps its step: int8 has -128.
        whole = tensor_range.learned and math.isclose(-low * 127, high * 128, rel_tol=1e-6)
        largest = high if whole else max(-low, high)
        symmetric_scale = np.float32(max(largest, 127 * _SMALLEST_SCALE) / 127)
        if float16_scale:
            symmetric_scale = np.float32(round_scale_to_float16(symmetric_scale))
        return AffineParameters(symmetric_scale, 0, dtype)
    scale = np.float32(max((high - low) / (highest - lowest), _SMALLEST_SCALE))
    zero_point = int(np.clip(np.rint(lowest - low / scale), lowest, highest))
    return AffineParameters(scale, zero_point, dtype)


def round_scale_to_float16(scales: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Return the float16 numbers nearest to positive scales, as float32, never 0.

    Nearest, and not the next above, although the largest value may then lie outside by 2^-11 of itself, a sixteenth of a
    step: it is clipped by that little, while the larger scale moves it away by up to twice as much. Behind a Relu6 many
    values are the largest. A scale above float16's largest becomes that one: its tensor then saturates, and such a
    tensor is in no float16 graph.
    """
    clipped = np.clip(np.asarray(scales, np.float32), _SMALLEST_FLOAT16, _LARGEST_FLOAT16)
    return np.asarray(clipped.astype(np.float16).astype(np.float32))


def is_on_grid(weight: NDArray[np.float32], *, axis: int, bits: int) -> bool:
    """Return whether every channel of `axis` holds multiples of its own step: largest magnitude / (2^(bits - 1) - 1)."""
    moved = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    largest = np.abs(moved).max(axis=1, keepdims=True)
    multiples = moved * (2 ** (bits - 1) - 1) / np.where(largest == 0, 1.0, largest)
    return bool(np.all(np.abs(multiples - np.rint(multiples)) < _GRID_TOLERANCE))


@dataclass(frozen=True)
class QuantizedWeight:
    """values: int8, shaped as the weight; scales: float32, (channels,); bias: int32, (channels,), or None."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None


def quantize_weight(
    weight: NDArray[np.float32],
    *,
    axis: int,
    bits: int,
    input_scale: np.float32,
    bias: NDArray[np.float32] | None,
    float16_scales: bool = False,
    least_scales: NDArray[np.float64] | None = None,
) -> QuantizedWeight:
    """Quantize a weight symmetrically per channel of `axis`, and its bias to int32 at input_scale * scales.

    A channel's scale grows where its bias would not fit: a channel of (nearly) zero weights otherwise
    gets a scale so small that the bias overflows int32. least_scales, (channels,), are what others need who share the
    weight.
    """
    limit = 2 ** (bits - 1) - 1
    moved = np.moveaxis(weight, axis, 0)
    scales = np.abs(moved).reshape(moved.shape[0], -1).max(axis=1).astype(np.float64) / limit
    if bias is not None:
        scales = np.maximum(scales, find_least_scales(bias, input_scale))
    if least_scales is not None:
        scales = np.maximum(scales, least_scales)
    scales = np.where(scales < _SMALLEST_SCALE, 1.0, scales).astype(np.float32)
    if float16_scales:
        scales = round_scale_to_float16(scales)
    shape = [1] * weight.ndim
    shape[axis] = -1
    values = np.clip(np.rint(weight / scales.reshape(shape)), -limit, limit).astype(np.int8)
    if bias is None:
        return QuantizedWeight(values, scales, None)
    return QuantizedWeight(values, scales, quantize_bias(bias, scales, input_scale))


def find_least_scales(bias: NDArray[np.float32], input_scale: np.float32) -> NDArray[np.float64]:
    """Return the least scale of each channel's weights, (channels,), at which its bias fits int32."""
    return np.asarray(np.abs(bias) / (float(input_scale) * _BIAS_LIMIT), np.float64)


def quantize_bias(bias: NDArray[np.float32], scales: NDArray[np.float32], input_scale: np.float32) -> NDArray[np.int32]:
    """Return a bias (channels,) as int32 at input_scale * scales."""
    return np.asarray(np.rint(bias / (scales.astype(np.float64) * float(input_scale))), np.int32)

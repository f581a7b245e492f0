"""How much of each channel's size moves from the activation to the weights: searched against the error of the products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.sqnr import to_db
from toolchain.lower.affine import LIMITS, ActivationType, affine_parameters, quantize_weight
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.smoothing.channels import Channels

# The paper's alpha: 0 would leave all to the activation's channels, 1 makes them all alike. It found 0.5 to 0.9 best.
_ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# A factor outside of this would say that one channel is noise to the others, and weights may underflow.
_EXPONENT_MAX = 12

# A Mul of its own costs about a hundredth of the product behind it; a gain of less is not worth it.
_GAIN_DB_MIN = 1.0


@dataclass(frozen=True)
class Factors:
    """What the channels of a tensor are divided by, and the rows of the weights behind it multiplied by."""

    alpha: float
    values: NDArray[np.float32]
    """(channels,), powers of two: dividing and multiplying by them is exact, so that float products stay what they were."""
    gain_db: float
    """By how much the SQNR of the products rises on samples that the factors were not made from."""


def choose_factors(
    channels: Channels, weights: Sequence[NDArray[np.float32]], *, bits: int, static: Scheme | None = None
) -> Factors | None:
    """Return the factors that the products keep most with, or None where none gains a decibel.

    weights: (channels, outputs) each, of all products that read the tensor. static: how its pair rounds the tensor, with
    one scale for all samples; None where each run has a scale of its own.
    """
    chosen_by, judged_by = channels.split()
    if not all(np.isfinite(weight).all() for weight in weights):
        return None
    plain = np.ones(channels.lows.shape[1], np.float32)
    plain_db = _measure_db(judged_by, weights, plain, bits=bits, static=static)
    candidates = [
        Factors(alpha, values, _measure_db(judged_by, weights, values, bits=bits, static=static) - plain_db)
        for alpha in _ALPHAS
        if (values := _make_values(chosen_by, weights, alpha)) is not None
    ]
    best = max(candidates, key=lambda factors: factors.gain_db, default=None)
    return best if best is not None and best.gain_db >= _GAIN_DB_MIN else None


def _make_values(
    channels: Channels, weights: Sequence[NDArray[np.float32]], alpha: float
) -> NDArray[np.float32] | None:
    """Return activation^alpha / weight^(1 - alpha) by channel, as powers of two around 1; 1 for a channel of zeros."""
    activation = np.maximum(-channels.lows, channels.highs).max(axis=0).astype(np.float64)
    weight = np.max([np.abs(value).max(axis=1) for value in weights], axis=0).astype(np.float64)
    alive = (activation > 0) & (weight > 0)
    if not alive.any():
        return None
    exponents = np.zeros(len(activation))
    exponents[alive] = alpha * np.log2(activation[alive]) - (1 - alpha) * np.log2(weight[alive])
    exponents[alive] -= np.median(exponents[alive])
    return np.asarray(np.exp2(np.clip(np.rint(exponents), -_EXPONENT_MAX, _EXPONENT_MAX)), np.float32)


def _measure_db(
    channels: Channels,
    weights: Sequence[NDArray[np.float32]],
    values: NDArray[np.float32],
    *,
    bits: int,
    static: Scheme | None,
) -> float:
    """Return the SQNR in dB of the products in int8, each as much as the others."""
    smoothed = [weight * values[:, None] for weight in weights]
    dequantized = [_round_weight(weight, bits=bits) for weight in smoothed]
    signal, noise = np.zeros(len(weights)), np.zeros(len(weights))
    lows, highs = channels.lows / values, channels.highs / values
    if static is not None:
        lows, highs = np.broadcast_to(lows.min(axis=0), lows.shape), np.broadcast_to(highs.max(axis=0), highs.shape)
    for low, high, rows in zip(lows, highs, channels.rows, strict=True):
        range_ = TensorRange(low=float(min(low.min(), 0.0)), high=float(max(high.max(), 0.0)))
        scaled = rows / values
        rounded = _round_rows(scaled, range_, static)
        for index, weight in enumerate(smoothed):
            exact = scaled @ weight
            signal[index] += float(np.square(exact).sum())
            noise[index] += float(np.square(rounded @ dequantized[index] - exact).sum())
    return float(np.mean(to_db(signal, noise)))


def _round_rows(rows: NDArray[np.float32], range_: TensorRange, static: Scheme | None) -> NDArray[np.float32]:
    """Return what int8 leaves of an activation: DynamicQuantizeLinear makes uint8 of any range, pairs what their scheme says."""
    dtype: ActivationType = "uint8" if static is None else static.activation_type
    parameters = affine_parameters(range_, dtype, symmetric=static is not None and static.symmetric)
    integers = np.clip(np.rint(rows / parameters.scale) + parameters.zero_point, *LIMITS[dtype])
    return np.asarray((integers - parameters.zero_point) * parameters.scale, np.float32)


def _round_weight(weight: NDArray[np.float32], *, bits: int) -> NDArray[np.float32]:
    quantized = quantize_weight(weight, axis=1, bits=bits, input_scale=np.float32(1), bias=None)
    return quantized.values * quantized.scales

"""Each channel of a layer's output regressed onto the float model's: the slope goes into its weight's scale, which is free.

Bias correction brings the means together. Where activations are coarse, noise that reaches a layer also makes its output
larger than it should be, and the line of least squares takes that back: its slope is below 1 where the output is mostly
noise. Integers stay as they are; scale and bias of the channel change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.lower.adjustment import Adjustment
from toolchain.lower.techniques.lockstep import Line, Moments, fit_layers
from toolchain.lower.techniques.subject import Subject

# Beyond these a channel is not what it was, and other data may need what the learning samples did not show.
_GAIN_MIN, _GAIN_MAX = 0.5, 2.0

# Of the mean square: what is below is the rounding of float32, and a channel that does not vary has no slope.
_VARIANCE_MIN = 1e-10


def regress_outputs(subject: Subject, adjustment: Adjustment) -> Adjustment:
    """Return the adjustment with scale and bias of each layer fitted, all layers before it being so already."""
    layers, own = subject.find_correctable(), subject.list_unshared()
    if not layers:
        return adjustment
    plain = replace(adjustment, gains={}, shifts={})

    def fit(name: str, moments: Moments) -> Line:
        subject.float_means[name] = moments.float_mean
        return fit_line(moments) if name in own else fit_shift(moments)

    lines = fit_layers(subject.model, subject.lower(plain), layers, subject.learning, fit)
    return replace(
        plain,
        gains={name: line.gain for name, line in lines.items()},
        shifts={name: line.shift for name, line in lines.items()},
    )


def fit_shift(moments: Moments) -> Line:
    """Return what brings the means together."""
    shift = (moments.float_mean - moments.int8_mean).astype(np.float32)
    return Line(np.ones_like(shift), shift)


def fit_line(moments: Moments) -> Line:
    """Return the line of least squares; a channel that is constant keeps its slope of 1."""
    varies = moments.int8_variance > _VARIANCE_MIN * moments.int8_mean**2
    slope = np.divide(moments.covariance, moments.int8_variance, out=np.ones_like(moments.covariance), where=varies)
    gain = np.clip(slope, _GAIN_MIN, _GAIN_MAX)
    shift = moments.float_mean - gain * moments.int8_mean
    return Line(gain.astype(np.float32), shift.astype(np.float32))

"""What each layer costs, beside what this device could do: times, MACs and bytes of one payload, joined by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from toolchain.agent.measure.layer_times import Kernel, LayerTimes, Peaks
from toolchain.agent.measure.onnxruntime_profile import RULES
from toolchain.agent.measure.placement import Layer
from toolchain.report.explanation_shape import Gain, LayerCost, LayerCosts, MachinePeaks
from toolchain.report.layer_words import name_layer

_GAINS = 3
# 1e9 MACs a second are 1e3 a microsecond, and as many bytes.
_PER_US = 1e3


def read_layer_costs(
    times: LayerTimes | None,
    layers: Sequence[Layer],
    *,
    modules: Mapping[str, str],
    sqnr_db: Mapping[str, float],
) -> LayerCosts | None:
    """Return the costs of every kernel, None where no time was measured.

    Nothing is made to fit: a share above 1 stays one and is marked, and what the kernels do not add up to is the rest.
    """
    if times is None:
        return None
    by_name = {layer.name: layer for layer in layers}
    costs = [_read_cost(kernel, by_name, times, modules, sqnr_db) for kernel in times.kernels]
    gains = [
        Gain(name=name_layer(cost), gain_us=cost["time_us"] - cost["roof_us"])
        for cost in costs
        if cost["roof_us"] is not None and cost["time_us"] > cost["roof_us"]
    ]
    return LayerCosts(
        runs=times.runs,
        run_us=times.run_us,
        rest_us=times.run_us - sum(cost["time_us"] for cost in costs) - times.left_out_us,
        left_out=times.left_out,
        left_out_us=times.left_out_us,
        peaks=None if times.peaks is None else _read_peaks(times.peaks),
        layers=costs,
        most_to_gain=sorted(gains, key=lambda gain: -gain["gain_us"])[:_GAINS],
        problem=times.problem,
    )


def _read_peaks(peaks: Peaks) -> MachinePeaks:
    return MachinePeaks(
        float_gmacs=peaks.float_gmacs,
        int8_gmacs=peaks.int8_gmacs,
        memory_gb_s=peaks.memory_gb_s,
        copy_bytes=peaks.copy_bytes,
    )


def _read_cost(
    kernel: Kernel,
    layers: Mapping[str, Layer],
    times: LayerTimes,
    modules: Mapping[str, str],
    sqnr_db: Mapping[str, float],
) -> LayerCost:
    # Of what the runtime puts around a layer under its name (a Reorder, a Quantize) only what multiplies is the layer.
    layer = layers.get(kernel.name) if kernel.op in RULES or kernel.op == _find_op(layers, kernel.name) else None
    macs = None if layer is None else layer.macs
    roof, roof_us = (None, None) if layer is None else _find_roof(layer, times.peaks)
    share = None if roof_us is None or kernel.median_us <= 0 else roof_us / kernel.median_us
    return LayerCost(
        name=kernel.name,
        module=modules.get(kernel.name) if layer is not None else None,
        op=kernel.op,
        precision=None if layer is None else layer.precision,
        macs=macs,
        moved_bytes=None if layer is None else layer.moved_bytes,
        time_us=kernel.median_us,
        run_share=kernel.median_us / times.run_us if times.run_us > 0 else 0.0,
        gmacs=macs / kernel.median_us / _PER_US if macs and kernel.median_us > 0 else None,
        roof=roof,
        roof_us=roof_us,
        roof_share=share,
        over_peak=share is not None and share > 1.0,
        sqnr_db=sqnr_db.get(kernel.name) if layer is not None else None,
    )


def _find_op(layers: Mapping[str, Layer], name: str) -> str | None:
    return layers[name].op if name in layers else None


def _find_roof(layer: Layer, peaks: Peaks | None) -> tuple[Literal["compute", "memory"] | None, float | None]:
    """Return what bounds a layer, and the µs that it takes there; None where a peak of its precision is unknown."""
    if peaks is None or not layer.macs:
        return None, None
    peak_gmacs = {"int8": peaks.int8_gmacs, "float32": peaks.float_gmacs}.get(layer.precision)
    if peak_gmacs is None or peak_gmacs <= 0 or peaks.memory_gb_s <= 0:
        return None, None
    compute_us = layer.macs / peak_gmacs / _PER_US
    memory_us = (layer.moved_bytes or 0) / peaks.memory_gb_s / _PER_US
    return ("memory", memory_us) if memory_us > compute_us else ("compute", compute_us)

"""What each layer costs, beside what this device could do: times, MACs and bytes of one payload, joined by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from toolchain.agent.measure.layer_times import Kernel, LayerTimes, Peaks
from toolchain.agent.measure.onnxruntime_profile import RULES
from toolchain.agent.measure.placement import Layer
from toolchain.report.explanation_shape import Gain, LayerCost, LayerCosts, MachinePeaks
from toolchain.report.layer_words import name_layer

MIXED = "mixed"
"""The precision of a kernel that computes layers of several."""

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
    joined = join_layers(times.kernels, layers)
    pairs = zip(times.kernels, joined, strict=True)
    costs = [_read_cost(kernel, own, times, modules, sqnr_db) for kernel, own in pairs]
    timed = {layer.name for own in joined for layer in own}
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
        untimed=[layer.name for layer in layers if layer.name not in timed],
        problem=times.problem,
        peaks_problem=times.peaks_problem,
    )


def _read_peaks(peaks: Peaks) -> MachinePeaks:
    return MachinePeaks(
        float_gmacs=peaks.float_gmacs,
        int8_gmacs=peaks.int8_gmacs,
        memory_gb_s=peaks.memory_gb_s,
        copy_bytes=peaks.copy_bytes,
        bf16_gmacs=peaks.bf16_gmacs,
    )


def join_layers(kernels: Sequence[Kernel], layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return the layers that each kernel does the work of: what several kernels or several layers are called is nobody's."""
    called = Counter(layer.name for layer in layers)
    by_name = {layer.name: layer for layer in layers if called[layer.name] == 1}
    names = [kernel.layers or _find_own(kernel, by_name) for kernel in kernels]
    claims = Counter(name for own in names for name in own)
    return [[by_name[name] for name in own if name in by_name and claims[name] == 1] for own in names]


def _find_own(kernel: Kernel, layers: Mapping[str, Layer]) -> tuple[str, ...]:
    # Of what the runtime puts around a layer under its name (a Reorder, a Quantize) only what multiplies is the layer.
    layer = layers.get(kernel.name)
    return (kernel.name,) if layer is not None and (kernel.op in RULES or kernel.op == layer.op) else ()


def _read_cost(
    kernel: Kernel,
    layers: Sequence[Layer],
    times: LayerTimes,
    modules: Mapping[str, str],
    sqnr_db: Mapping[str, float],
) -> LayerCost:
    work = _join_work(layers)
    macs = None if work is None else work.macs
    roof, roof_us = (None, None) if work is None else _find_roof(work, times.peaks)
    share = None if roof_us is None or kernel.median_us <= 0 else roof_us / kernel.median_us
    called = [modules[layer.name] for layer in layers if layer.name in modules]
    kept_db = [sqnr_db[layer.name] for layer in layers if layer.name in sqnr_db]
    return LayerCost(
        name=kernel.name,
        module=" + ".join(called) if layers and len(called) == len(layers) else None,
        op=kernel.op,
        precision=None if work is None else work.precision,
        macs=macs,
        moved_bytes=None if work is None else work.moved_bytes,
        time_us=kernel.median_us,
        run_share=kernel.median_us / times.run_us if times.run_us > 0 else 0.0,
        gmacs=macs / kernel.median_us / _PER_US if macs and kernel.median_us > 0 else None,
        roof=roof,
        roof_us=roof_us,
        roof_share=share,
        over_peak=share is not None and share > 1.0,
        sqnr_db=min(kept_db, default=None),
    )


def _join_work(layers: Sequence[Layer]) -> Layer | None:
    """Return the work of a kernel as that of one layer; what several move beside what stays in the kernel is not known."""
    if len(layers) < 2:
        return layers[0] if layers else None
    counts = [layer.macs for layer in layers]
    precisions = {layer.precision for layer in layers}
    return Layer(
        name=" + ".join(layer.name for layer in layers),
        op=" + ".join(layer.op for layer in layers),
        precision=precisions.pop() if len(precisions) == 1 else MIXED,
        macs=None if None in counts else sum(count or 0 for count in counts),
    )


def _find_heights(peaks: Peaks) -> dict[str, float | None]:
    return {"int8": peaks.int8_gmacs, "bf16": peaks.bf16_gmacs, "float32": peaks.float_gmacs}


def _find_roof(layer: Layer, peaks: Peaks | None) -> tuple[Literal["compute", "memory"] | None, float | None]:
    """Return what bounds a layer, and the µs that it takes there; None where a peak of its precision is unknown."""
    if peaks is None or not layer.macs:
        return None, None
    peak_gmacs = _find_heights(peaks).get(layer.precision)
    if peak_gmacs is None or peak_gmacs <= 0 or peaks.memory_gb_s <= 0:
        return None, None
    compute_us = layer.macs / peak_gmacs / _PER_US
    memory_us = (layer.moved_bytes or 0) / peaks.memory_gb_s / _PER_US
    return ("memory", memory_us) if memory_us > compute_us else ("compute", compute_us)

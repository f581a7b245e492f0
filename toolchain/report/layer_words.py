"""What a report calls a layer and its costs, in plots and in tables."""

from __future__ import annotations

from toolchain.agent.measure.quantities import ABSENT, write_percent
from toolchain.report.explanation_shape import LayerCost

NO_MACS = "no MACs"
"""The precision of a kernel that does not multiply (Add, Pool, Quantize): none that a reader asks for."""


def name_layer(cost: LayerCost) -> str:
    """Return what a reader calls a kernel: PyTorch's module, or the node with its operator."""
    # The modules of a Sequential have numbers alone, and so may their nodes.
    name = cost["module"] or cost["name"]
    return f"{name} ({cost['op'].partition(' ')[0]})" if name.isdigit() else name


def name_kernel(cost: LayerCost) -> str:
    """Return what a reader calls a kernel among others: what is no layer of the payload's has its operator before its name."""
    is_layer = cost["precision"] is not None or cost["op"] in cost["name"]
    return name_layer(cost) if is_layer else f"{cost['op']}: {cost['name']}"


def describe_precision(cost: LayerCost) -> str:
    """Return the precision, or that there is none to tell."""
    return cost["precision"] or NO_MACS


def describe_roof(cost: LayerCost, *, is_short: bool = False) -> str:
    """Return the share of the peak in words, never more than what it is worth; a plot has a note on what is over it."""
    share = cost["roof_share"]
    if share is None:
        return ABSENT
    written = "under 1 %" if share < 0.01 else write_percent(share, 0)
    text = f"{written}, {cost['roof']}"
    over = "over" if is_short else "over the measured peak"
    return f"{text}, {over}" if cost["over_peak"] else text


def write_us(time_us: float) -> str:
    """Return a time: 31 µs, 1.20 ms."""
    return f"{time_us / 1000:.2f} ms" if time_us >= 1000 else f"{time_us:.0f} µs"

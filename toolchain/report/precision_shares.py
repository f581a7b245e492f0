"""Where the MACs of the artifact run: the share of each precision, and the layers that left it, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from toolchain.agent.measure.placement import Placement as Measured
from toolchain.report.shape import Fallback, Layer, Placement


def read_placement(measured: Measured, precision: str, float_reasons: Mapping[str, str]) -> Placement:
    """Return the placement of an artifact of one precision, from what the agent read in the graph that runs.

    A layer that left the precision without a reason has the reason None. The largest share comes first.
    """
    layers = [
        Layer(name=layer.name, op=layer.op, precision=layer.precision, macs=layer.macs) for layer in measured.layers
    ]
    macs = measured.macs
    fallbacks = [
        Fallback(
            name=layer["name"],
            op=layer["op"],
            precision=layer["precision"],
            macs=layer["macs"],
            share_macs=layer["macs"] / macs if layer["macs"] else None,
            reason=float_reasons.get(layer["name"]),
        )
        for layer in layers
        if layer["macs"] != 0 and layer["precision"] != precision
    ]
    # What was kept in float and does no MACs (Softmax, a mask) is not among the layers that count.
    counted = {layer["name"] for layer in layers if layer["macs"] != 0}
    if precision != "float32":
        fallbacks += [
            Fallback(name=name, op=None, precision="float32", macs=None, share_macs=None, reason=reason)
            for name, reason in float_reasons.items()
            if name not in counted
        ]
    return Placement(
        precision_share_macs=dict(sorted(measured.precision_share_macs.items(), key=lambda item: -item[1])),
        macs=macs,
        fallbacks=fallbacks,
        layers=layers,
    )

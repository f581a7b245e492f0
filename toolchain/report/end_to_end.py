"""The way from a sensor's frame to answers, as the report has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolchain.agent.measure.quantities import write_ms, write_percent
from toolchain.report.shape import EndToEnd

if TYPE_CHECKING:  # it needs numpy, without which a page must still say that numpy is missing
    from toolchain.agent.measure.record import EndToEnd as Measured


def read_end_to_end(measured: Measured | None) -> EndToEnd | None:
    """Return what was measured with the share of each part."""
    if measured is None:
        return None
    parts = (measured.pre_ms, measured.model_ms, measured.post_ms)
    total_ms = sum(parts)
    pre, model, post = (part / total_ms if total_ms > 0 else 0.0 for part in parts)
    return EndToEnd(
        frame_width=measured.frame_width,
        frame_height=measured.frame_height,
        pre_ms=measured.pre_ms,
        model_ms=measured.model_ms,
        post_ms=measured.post_ms,
        runs=measured.runs,
        total_ms=total_ms,
        pre_share=pre,
        model_share=model,
        post_share=post,
    )


def describe_end_to_end(found: EndToEnd) -> str:
    """Return it as a sentence."""
    shares = ", ".join(
        f"{name} {write_percent(share, 0)}"
        for name, share in (
            ("before", found["pre_share"]),
            ("model", found["model_share"]),
            ("after", found["post_share"]),
        )
    )
    frame = "" if found["frame_width"] is None else f" of a frame of {found['frame_width']}x{found['frame_height']}"
    return f"{write_ms(found['total_ms'])} from sensor to answers{frame}, in Python: {shares}"

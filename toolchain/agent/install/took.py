"""What the payload that was proven takes of the board, for the log: `status` shows it, and nothing is judged by it."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ..decode import decode
from ..errors import ToolchainError
from ..manifest import Manifest
from ..measure.footprint.figures import Footprint, find_peaks, summarize_start
from .offered import Shipped
from .verdict import Verdict

# What says of a candidate which it is.
_OPENED = ("precision", "runtime", "threads", "pins_threads")


def describe_took(measurements: Mapping[str, Any], manifest: Manifest, verdict: Verdict) -> Dict[str, Any]:
    """Return {"start_ms", "peak_bytes", "batch"} of the payload, of which unknown ones are left out.

    The measurements are those of the release's own agent, which may be older and have measured nothing of it.
    """
    record = measurements.get("record")
    footprint = _find_footprint(record if isinstance(record, Mapping) else {}, verdict.shipped)
    if footprint is None:
        return {}
    took: Dict[str, Any] = {}
    start = None if manifest.emulated or footprint.failure is not None else summarize_start(footprint)
    if start is not None:
        took["start_ms"] = start.median_ms
    devices = record.get("devices") if isinstance(record, Mapping) else None
    device = devices.get(verdict.shipped.runtime) if isinstance(devices, Mapping) else None
    has_device = isinstance(device, Mapping) and device.get("accelerator") is not None
    peak = find_peaks(footprint, has_device=has_device)[1]
    if peak is not None:
        took.update(peak_bytes=peak.total_bytes, batch=peak.batch)
    return took


def _find_footprint(record: Mapping[str, Any], shipped: Shipped) -> Optional[Footprint]:
    own = tuple(getattr(shipped, name) for name in _OPENED)
    try:
        for candidate in record["candidates"]:
            told = tuple(candidate[name] for name in _OPENED)
            if told == own and candidate.get("footprint") is not None:
                footprint: Footprint = decode(Footprint, candidate["footprint"], "footprint")
                return footprint
    except (ToolchainError, KeyError, TypeError, AttributeError):  # another agent's words
        pass
    return None

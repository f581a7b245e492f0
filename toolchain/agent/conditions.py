"""The temperatures, clocks and throttling events of a board, read before and after the latency is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional

from .jetson import read_number, read_text


@dataclass(frozen=True)
class Conditions:
    """By name, what the board shows at one moment; a sensor that is there and cannot be read is None: unknown.

    `throttle_events` are counters of the Jetson's over-current and over-temperature alarms (soctherm_oc).
    """

    temperatures_c: Mapping[str, Optional[float]]
    clocks_hz: Mapping[str, Optional[int]]
    throttle_events: Mapping[str, Optional[int]]


def read_conditions(root: Path) -> Conditions:
    """Return the conditions of the board whose file system is at `root`."""
    return Conditions(
        temperatures_c=_read_temperatures(root / "sys/class/thermal"),
        clocks_hz=_read_clocks(root / "sys/class/devfreq"),
        throttle_events=_read_throttle_events(root / "sys/class/hwmon"),
    )


def _read_temperatures(folder: Path) -> Dict[str, Optional[float]]:
    temperatures = {}
    for zone in sorted(folder.glob("thermal_zone*")):
        millidegrees = read_number(zone / "temp")
        name = f"{zone.name} {read_text(zone / 'type') or ''}".strip()
        temperatures[name] = None if millidegrees is None else millidegrees / 1000
    return temperatures


def _read_clocks(folder: Path) -> Dict[str, Optional[int]]:
    return {device.name: read_number(device / "cur_freq") for device in sorted(folder.glob("*"))}


def _read_throttle_events(folder: Path) -> Dict[str, Optional[int]]:
    return {
        counter.name: read_number(counter)
        for sensor in sorted(folder.glob("hwmon*"))
        if read_text(sensor / "name") == "soctherm_oc"
        for counter in sorted(sensor.glob("oc*_event_cnt"))
    }


def is_throttled(before: Conditions, after: Conditions) -> Optional[bool]:
    """Return whether the board slowed itself down in between; None where it does not show that."""
    pairs = [(before.throttle_events.get(name), count) for name, count in after.throttle_events.items()]
    if any(start is not None and end is not None and end > start for start, end in pairs):
        return True
    if not pairs or any(start is None or end is None for start, end in pairs):
        return None
    return False

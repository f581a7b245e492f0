"""What a board shows of itself, read before and after the latency is measured: heat, clocks, and who else wants it."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional

from ..clock import read_clocks_ns
from .jetson import read_number, read_text


@dataclass(frozen=True)
class Conditions:
    """By name, what the board shows at one moment; a sensor that is there and cannot be read is None: unknown.

    `throttle_events` are counters: the Jetson's over-current and over-temperature alarms (soctherm_oc), and those of x86
    cores. `counters` only grow: `*_us` and `*_ns` are times since the start of the board or of this process, the others
    are numbers of events (read_conditions names them). `running` is how many threads of the board run or want to.
    """

    temperatures_c: Mapping[str, Optional[float]]
    clocks_hz: Mapping[str, Optional[int]]
    throttle_events: Mapping[str, Optional[int]]
    counters: Mapping[str, Optional[int]] = field(default_factory=dict)
    running: Optional[int] = None


def read_conditions(root: Path) -> Conditions:
    """Return the conditions of the board whose file system is at `root`.

    Counters: cpu_stall_us, memory_stall_us, io_stall_us (pressure stall information: at least one task waited);
    run_delay_ns (this process waited for a CPU although it could run); steal_ns and cpu_ns (of all CPUs, what the
    hypervisor took, and everything); switches (this process was put off a CPU), faults (it waited for a page from the
    disk); monotonic_ns, raw_ns and boot_ns (three clocks that must go alike), process_ns (the time it computed).
    """
    return Conditions(
        temperatures_c=_read_temperatures(root / "sys/class/thermal"),
        clocks_hz=_read_clocks(root),
        throttle_events=_read_throttle_events(root),
        counters={
            **{f"{name}_stall_us": _read_stall_us(root / "proc/pressure" / name) for name in ("cpu", "memory", "io")},
            "run_delay_ns": _read_run_delay_ns(root / "proc/self/task"),
            **_read_cpu_times(root / "proc/stat"),
            **_read_process(),
        },
        running=_read_running(root / "proc/loadavg"),
    )


def _read_temperatures(folder: Path) -> Dict[str, Optional[float]]:
    temperatures = {}
    for zone in sorted(folder.glob("thermal_zone*")):
        millidegrees = read_number(zone / "temp")
        name = f"{zone.name} {read_text(zone / 'type') or ''}".strip()
        temperatures[name] = None if millidegrees is None else millidegrees / 1000
    return temperatures


def _read_clocks(root: Path) -> Dict[str, Optional[int]]:
    clocks = {
        device.name: read_number(device / "cur_freq") for device in sorted((root / "sys/class/devfreq").glob("*"))
    }
    for policy in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        # The limit, and not the clock of this moment: an idle core is slow and not throttled.
        limit_khz = read_number(policy / "scaling_max_freq")
        clocks[f"{policy.name} limit"] = None if limit_khz is None else limit_khz * 1000
    return clocks


def _read_throttle_events(root: Path) -> Dict[str, Optional[int]]:
    events = {
        counter.name: read_number(counter)
        for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*"))
        if read_text(sensor / "name") == "soctherm_oc"
        for counter in sorted(sensor.glob("oc*_event_cnt"))
    }
    for counter in sorted((root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_throttle_count")):
        events[f"{counter.parent.parent.name} {counter.stem}"] = read_number(counter)
    return events


def _read_stall_us(path: Path) -> Optional[int]:
    # "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345", then "full ..." (Documentation/accounting/psi.rst)
    text = read_text(path) or ""
    total = text.partition("\n")[0].rpartition("total=")[2]
    return int(total) if total.isdigit() else None


def _read_run_delay_ns(folder: Path) -> Optional[int]:
    # Of each thread: the time it ran, the time it waited to run, both in ns (Documentation/scheduler/sched-stats.rst)
    waited_ns = []
    for thread in folder.glob("*"):
        fields = (read_text(thread / "schedstat") or "").split()
        if len(fields) == 3 and fields[1].isdigit():
            waited_ns.append(int(fields[1]))
    return sum(waited_ns) if waited_ns else None


def _read_cpu_times(path: Path) -> Dict[str, Optional[int]]:
    # "cpu  user nice system idle iowait irq softirq steal guest guest_nice" in 1/100 s (proc_stat(5)); guest is in user.
    fields = (read_text(path) or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not all(number.isdigit() for number in fields[1:9]):
        return {"steal_ns": None, "cpu_ns": None}
    ticks = [int(number) * 10_000_000 for number in fields[1:9]]
    return {"steal_ns": ticks[7], "cpu_ns": sum(ticks)}


def _read_process() -> Dict[str, Optional[int]]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"switches": usage.ru_nivcsw, "faults": usage.ru_majflt, **read_clocks_ns()}


def _read_running(path: Path) -> Optional[int]:
    # "0.20 0.18 0.12 1/80 11206": the fourth is running threads over all (proc_loadavg(5)).
    fields = (read_text(path) or "").split()
    running = fields[3].partition("/")[0] if len(fields) == 5 else ""
    return int(running) if running.isdigit() else None


def is_throttled(before: Conditions, after: Conditions) -> Optional[bool]:
    """Return whether the board slowed itself down in between; None where it does not show that."""
    pairs = [(before.throttle_events.get(name), count) for name, count in after.throttle_events.items()]
    if any(start is not None and end is not None and end > start for start, end in pairs):
        return True
    if not pairs or any(start is None or end is None for start, end in pairs):
        return None
    return False

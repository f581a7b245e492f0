"""What a Jetson says of itself: L4T, JetPack, power mode and the clocks of its GPU. What cannot be read is None: unknown."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

# The file opens with: R36 (release), REVISION: 4.0, and more
_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
# "NV Power Mode: MAXN_SUPER", then its number.
_POWER_MODE = re.compile(r"NV Power Mode: *(\S+)")
_COMMAND_LIMIT_S = 10


@dataclass(frozen=True)
class Jetson:
    """`l4t` is the release of NVIDIA's Linux (36.4.0); clocks are those of the GPU in Hz, now and at most."""

    l4t: Optional[str]
    jetpack: Optional[str]
    power_mode: Optional[str]
    gpu_clock_hz: Optional[int]
    gpu_clock_max_hz: Optional[int]


def read_text(path: Path) -> Optional[str]:
    """Return a file of /proc, /sys or /etc without its line end; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:  # not there, not ours to read, or a sensor that is asleep
        return None


def read_number(path: Path) -> Optional[int]:
    """Return the whole number in a file; None where there is none."""
    text = read_text(path)
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def _run(command: Sequence[str]) -> Optional[str]:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=_COMMAND_LIMIT_S
        )
    except (OSError, subprocess.SubprocessError):  # no Jetson, or one without this command
        return None
    return done.stdout.decode("utf-8", errors="replace").strip() or None


def find_gpu_clock_folder(root: Path) -> Optional[Path]:
    """Return the devfreq folder of the GPU: 17000000.gpu on Orin, gpu-gpc-0 on Thor."""
    folders = sorted((root / "sys/class/devfreq").glob("*gpu*"))
    return folders[0] if folders else None


def read_jetson(root: Path) -> Jetson:
    """Return what the board under `root` says; on a machine that is no Jetson nothing is known."""
    release = _RELEASE.search(read_text(root / "etc/nv_tegra_release") or "")
    power = _POWER_MODE.search(_run(["nvpmodel", "-q"]) or "") if release else None
    clocks = find_gpu_clock_folder(root)
    return Jetson(
        l4t=None if release is None else f"{release[1]}.{release[2]}",
        jetpack=_run(["dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack"]) if release else None,
        power_mode=None if power is None else power[1],
        gpu_clock_hz=None if clocks is None else read_number(clocks / "cur_freq"),
        gpu_clock_max_hz=None if clocks is None else read_number(clocks / "max_freq"),
    )

"""How much memory of NVIDIA's GPUs this process holds, as their driver counts it (NVML). Not yet run on hardware.

cudaMemGetInfo tells what is free to everybody: what another process takes or gives back meanwhile would be counted as this one's.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Optional

_LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0  # nvmlReturn_t
# Of a driver that cannot tell, as on Windows (NVML_VALUE_NOT_AVAILABLE).
_NOT_AVAILABLE = 2**64 - 1
_PROCESSES_MAX = 1024


class _ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t of nvml.h, as the calls with the suffix _v3 have it."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def read_process_bytes(library: Optional[Any] = None) -> Optional[int]:
    """Return what this process holds on all GPUs, CUDA's context included; None where the driver does not tell.

    It does not on a Jetson, and in a container that has process numbers of its own it knows none of ours.
    """
    try:
        nvml = ctypes.CDLL(_LIBRARY) if library is None else library
        if nvml.nvmlInit_v2() != _SUCCESS:
            return None
    except (OSError, AttributeError):  # no driver, or one that is older than these calls
        return None
    try:
        return _sum_devices(nvml)
    except AttributeError:
        return None
    finally:
        nvml.nvmlShutdown()


def _sum_devices(nvml: Any) -> Optional[int]:
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
        return None
    held = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) != _SUCCESS:
            return None
        size = ctypes.c_uint(_PROCESSES_MAX)
        infos = (_ProcessInfo * _PROCESSES_MAX)()
        if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(size), infos) != _SUCCESS:
            return None
        held += [info.used_bytes for info in infos[: size.value] if info.pid == os.getpid()]
    # One that runs on a GPU and is on none of the lists has another number there.
    return sum(held) if held and _NOT_AVAILABLE not in held else None

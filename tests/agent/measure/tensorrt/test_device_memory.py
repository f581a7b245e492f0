"""Memory of the GPU, against a library that answers as nvml.h says."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolchain.agent.measure.tensorrt.device_memory import read_process_bytes

OWN, OTHER = os.getpid(), os.getpid() + 1
UNKNOWN = 2**64 - 1


def make_nvml(*devices, **codes):
    """Return a library whose GPUs have these processes, (number, bytes) each; a code other than 0 is a call that fails."""
    closed = []

    def list_processes(device, size, infos):
        for index, (pid, used_bytes) in enumerate(devices[device.value - 1]):
            infos[index].pid, infos[index].used_bytes = pid, used_bytes
        size._obj.value = len(devices[device.value - 1])
        return codes.get("processes", 0)

    def count(number):
        number._obj.value = len(devices)
        return codes.get("count", 0)

    def find(index, device):
        device._obj.value = index.value + 1
        return codes.get("find", 0)

    return SimpleNamespace(
        nvmlInit_v2=lambda: codes.get("start", 0),
        nvmlShutdown=lambda: closed.append(True),
        nvmlDeviceGetCount_v2=count,
        nvmlDeviceGetHandleByIndex_v2=find,
        nvmlDeviceGetComputeRunningProcesses_v3=list_processes,
        closed=closed,
    )


def test_it_is_what_this_process_holds_on_every_gpu_and_nobody_else():
    nvml = make_nvml([(OTHER, 5_000), (OWN, 300)], [(OWN, 40)])
    assert read_process_bytes(nvml) == 340
    assert nvml.closed == [True]


@pytest.mark.parametrize(
    "nvml",
    [
        *(make_nvml(), make_nvml([]), make_nvml([(OTHER, 300)]), make_nvml([(OWN, UNKNOWN)])),
        *(make_nvml([(OWN, 300)], **{call: 3}) for call in ("start", "count", "find", "processes")),
        *(SimpleNamespace(), SimpleNamespace(nvmlInit_v2=lambda: 0, nvmlShutdown=lambda: 0)),
    ],
)
def test_a_driver_that_does_not_tell_is_unknown_and_not_nothing(nvml):
    assert read_process_bytes(nvml) is None


def test_a_board_without_a_driver_is_unknown():
    if any(Path(f"/dev/nvidia{name}").exists() for name in ("0", "ctl")):
        pytest.skip("this machine has one")
    assert read_process_bytes() is None

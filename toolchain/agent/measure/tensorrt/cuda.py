"""Every call of the CUDA runtime, with its return code checked."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError

# The first device: what a board has. On a machine with several, CUDA_VISIBLE_DEVICES chooses.
_DEVICE = 0
# Codes (driver_types.h) that a user can act on; every other one is a fault of ours, the driver's or the GPU's.
FIXES: Dict[str, str] = {
    "cudaErrorMemoryAllocation": "stop what else uses the GPU's memory, or build for a smaller batch",
    "cudaErrorNoDevice": "run on a machine with an NVIDIA GPU, or look whether its driver is loaded",
    "cudaErrorInsufficientDriver": "upgrade the driver (on a Jetson: JetPack), or install an older cuda-python",
    "cudaErrorSystemDriverMismatch": "reboot: the driver was upgraded while it was loaded",
    "cudaErrorCompatNotSupportedOnDevice": "install the cuda-python of this driver's CUDA version",
    "cudaErrorNoKernelImageForDevice": "install a TensorRT that supports this GPU",
    "cudaErrorDevicesUnavailable": "stop the process that has the GPU for itself",
}
_FIX_OTHERWISE = "reboot the board, which resets the GPU; if it comes back, report it with the end of dmesg"


class CudaError(ToolchainError):
    """A CUDA call that failed; `name` is CUDA's of the code, such as cudaErrorMemoryAllocation."""

    def __init__(self, call: str, name: str, text: str) -> None:
        code = ExitCode.INCOMPATIBLE if name in FIXES else ExitCode.UNEXPECTED
        fix = FIXES.get(name, _FIX_OTHERWISE)
        found = f"{name}: {text}"
        super().__init__(code, "a CUDA call failed", where=call, expected="cudaSuccess", found=found, fix=fix)
        self.name = name


@dataclass(frozen=True)
class Gpu:
    """A GPU: `architecture` is sm_87 for compute capability 8.7."""

    name: str
    architecture: str
    memory_bytes: int
    is_integrated: bool


class Cuda:
    """The CUDA runtime on the first device."""

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        self._call("cudaSetDevice", _DEVICE)

    def _call(self, name: str, *arguments: Any) -> Any:
        cudart = self._cudart
        code, *values = getattr(cudart, name)(*arguments)
        if code != cudart.cudaError_t.cudaSuccess:
            _, error_name = cudart.cudaGetErrorName(code)
            _, text = cudart.cudaGetErrorString(code)
            raise CudaError(name, _decode(error_name), _decode(text))
        return values[0] if len(values) == 1 else tuple(values)

    def read_gpu(self) -> Gpu:
        properties = self._call("cudaGetDeviceProperties", _DEVICE)
        return Gpu(
            name=_decode(properties.name),
            architecture=f"sm_{properties.major}{properties.minor}",
            memory_bytes=int(properties.totalGlobalMem),
            is_integrated=bool(properties.integrated),
        )

    def read_memory_bytes(self) -> Tuple[int, int]:
        """Return the GPU's memory as (free, total)."""
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)

    def read_driver_cuda(self) -> str:
        """Return the newest CUDA version that the driver serves, such as 12.6."""
        return _format_version(self._call("cudaDriverGetVersion"))

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory of the GPU."""
        return int(self._call("cudaMalloc", size_bytes))

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def allocate_pinned(self, size_bytes: int) -> int:
        """Return the address of new memory of the host that the GPU copies from and to without a detour."""
        return int(self._call("cudaMallocHost", size_bytes))

    def free_pinned(self, address: int) -> None:
        self._call("cudaFreeHost", address)

    def create_stream(self) -> Any:
        return self._call("cudaStreamCreateWithFlags", self._cudart.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        self._call("cudaStreamSynchronize", stream)

    def copy_to_device(self, target: int, source: int, size_bytes: int, stream: Any) -> None:
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target, source, size_bytes, kind, stream)

    def copy_to_host(self, target: int, source: int, size_bytes: int, stream: Any) -> None:
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target, source, size_bytes, kind, stream)

    def begin_capture(self, stream: Any) -> None:
        mode = self._cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        return self._call("cudaStreamEndCapture", stream)

    def instantiate(self, graph: Any) -> Any:
        return self._call("cudaGraphInstantiate", graph, 0)

    def launch(self, executable: Any, stream: Any) -> None:
        self._call("cudaGraphLaunch", executable, stream)

    def destroy_graph(self, graph: Any) -> None:
        self._call("cudaGraphDestroy", graph)

    def destroy_executable(self, executable: Any) -> None:
        self._call("cudaGraphExecDestroy", executable)


def _decode(text: Any) -> str:
    return text.decode("utf-8", errors="replace").rstrip("\0") if isinstance(text, bytes) else str(text)


def _format_version(number: int) -> str:
    # cudaDriverGetVersion: 1000 * major + 10 * minor.
    return f"{int(number) // 1000}.{int(number) % 1000 // 10}"


def view_memory(address: int, size_bytes: int) -> NDArray[np.uint8]:
    """Return host memory as bytes; it must outlive the array."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))

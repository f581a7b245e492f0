"""TensorRT on an NVIDIA GPU: the payload is an ONNX file, and its engine is built on the board. Not yet run on hardware.

An application opens engines and builds none: its wheel leaves out what is imported when it is asked for (app/agent_files.py).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from ..jetson import read_jetson
from ..placement import Placement
from ..session import BuildRequest
from ..tensorrt.cuda import Cuda
from ..tensorrt.execution import TensorRtSession
from ..tensorrt.versions import load_cudart, load_tensorrt
from ..traits import LibraryPlaces, Traits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..layer_times import Kernel
    from ..quantiles import Ratio

TRAITS = Traits(
    install="python -m pip install tensorrt (beside the toolchain: 'edge-toolchain[tensorrt]')",
    # A Jetson has them among those of the system.
    libraries=LibraryPlaces(
        beside=("tensorrt", "tensorrt_bindings", "tensorrt_libs", "tensorrt.libs"),
        system=("libnvinfer*.so*", "libnvonnxparser*.so*"),
    ),
    engine="board",
    lowered_with=("tensorrt_rtx_cu13",),  # its parser judges the graph where it is there
)


def load() -> None:
    """Import TensorRT; raises ToolchainError (exit 3, 12) where it is missing or too old."""
    load_tensorrt()


def read_version() -> str:
    """Return the version of TensorRT."""
    return str(load_tensorrt().__version__)


def read_accelerator() -> Optional[str]:
    """Return the architecture of the GPU, such as sm_87."""
    return Cuda(load_cudart()).read_gpu().architecture


def read_details() -> Mapping[str, object]:
    """Return the GPU, its memory and driver, and what a Jetson says of itself."""
    cuda = Cuda(load_cudart())
    gpu = cuda.read_gpu()
    free_bytes, total_bytes = cuda.read_memory_bytes()
    return {
        "gpu": gpu.name,
        "compute_capability": gpu.architecture,
        "gpu_memory_bytes": total_bytes,
        "gpu_memory_free_bytes": free_bytes,
        "gpu_memory_is_shared": gpu.is_integrated,
        "driver_cuda": cuda.read_driver_cuda(),
        **asdict(read_jetson(Path("/"))),
    }


def read_device_peak_bytes() -> Optional[int]:
    """Return what this process holds of the GPU: an engine takes its memory when it is opened, and gives none back before its end."""
    from ..tensorrt.device_memory import read_process_bytes

    return read_process_bytes()


def open_session(path: Path, _threads: int, build: Optional[BuildRequest] = None) -> TensorRtSession:
    """Build the engine of an ONNX file, or open the one that was built here before; see open_built."""
    from ..tensorrt.built import open_built

    return open_built(path, build)


def open_engine(data: bytes, path: Path) -> TensorRtSession:
    """Open the bytes of an engine that was built on this board; `path` is where they lay, and is not read."""
    return TensorRtSession(load_tensorrt(), Cuda(load_cudart()), data, path, None)


def read_placement(
    path: Path, _threads: int, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Placement:
    """Return what TensorRT's inspector says of the engine."""
    from ..tensorrt import built

    return built.read_placement(path, feeds, build)


def time_kernels(
    path: Path, _threads: int, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels of the engine under TensorRT's profiler, and the µs of each run."""
    from ..tensorrt import timing

    return timing.time_kernels(path, feeds, build)


def time_layers(
    path: Path, feeds: Mapping[str, NDArray[np.generic]], *, build: BuildRequest, layers: Collection[str], runs: int
) -> Dict[str, List[float]]:
    """Return the µs of each of these layers in each run, where a kernel of the engine is its own."""
    from ..tensorrt import timing

    return timing.time_layers(path, feeds, build=build, layers=layers, runs=runs)


def compare_layers(
    paths: Sequence[Path],
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    builds: Sequence[BuildRequest],
    layers: Collection[str],
) -> Dict[str, Ratio]:
    """Return how many times as long each of these layers takes in the second engine as in the first."""
    from ..tensorrt import timing

    return timing.compare_layers(paths, feeds, builds=builds, layers=layers)

"""TensorRT on an NVIDIA GPU: the payload is an ONNX file, and its engine is built on the board. Not yet run on hardware."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ...contents import compute_sha256
from ...errors import ExitCode, ToolchainError
from ...manifest import BuildSpec
from ..episodes import EPISODES
from ..jetson import read_jetson
from ..layer_times import Kernel
from ..placement import Placement
from ..quantiles import Ratio, compare_rounds
from ..session import BuildRequest, EngineFacts
from ..tensorrt.cuda import Cuda
from ..tensorrt.device_memory import read_process_bytes
from ..tensorrt.engine import BuildOptions, Built, build_engine, parse_model
from ..tensorrt.engine_cache import EngineCache, EngineKey, Pin, find_root, find_user_root
from ..tensorrt.execution import TensorRtSession
from ..tensorrt.inspector import UNKNOWN, list_kernels, list_kinds
from ..tensorrt.inspector import read_placement as read_inspected
from ..tensorrt.macs import list_multiply_layers
from ..tensorrt.profiler import assign_times, check_times
from ..tensorrt.versions import load_cudart, load_tensorrt
from ..traits import LibraryPlaces, Traits

# As of latency: three rounds to an episode, and a median in each.
_ROUNDS, _RUNS_A_ROUND = 3 * EPISODES, 3
# As under ONNX Runtime's profiler: enough for a median; of what takes longer there are at least five.
_PROFILED_RUNS, _PROFILED_RUNS_MIN, _PROFILED_S = 50, 5, 0.25

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
    return read_process_bytes()


def open_session(path: Path, _threads: int, build: Optional[BuildRequest] = None) -> TensorRtSession:
    """Build the engine of an ONNX file, or open the one that was built here before.

    Raises ToolchainError: exit 3 TensorRT or cuda-python is missing, 11 the engine is not the pinned one, 12 no GPU, too
    little memory, a node that TensorRT does not take, a dynamic input without shapes, the time limit, 23 no such file.
    """
    trt, cuda = load_tensorrt(), Cuda(load_cudart())
    request = _complete(build, path)
    cache = EngineCache(request.engines or find_root(request.bundle_dir))
    key = _make_key(trt, cuda, path, request)
    data, pin, is_reused = cache.open(key, lambda timing: _build(trt, cuda, path, request, timing))
    return TensorRtSession(trt, cuda, data, cache.find_path(key), _describe(pin, is_reused=is_reused))


def read_placement(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Placement:
    """Return what TensorRT's inspector says of the engine; MACs are those of the network before it was fused."""
    session = open_session(path, threads, build)
    try:
        text = session.inspect()
    finally:
        session.close()
    trt = load_tensorrt()
    batch = max((array.shape[0] for array in feeds.values() if array.ndim), default=1)
    parsed = parse_model(trt, _read_model(path), str(path))
    return read_inspected(text, list_multiply_layers(trt, parsed.network, batch))


def time_kernels(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels of the engine under TensorRT's profiler, in the order in which it tells them, and the µs of each run.

    A run is from host memory to host memory, as a latency is. Raises ToolchainError as open_session does, and exit 20 where the
    profile cannot be used. Not yet run on hardware.
    """
    from ..latency import Stopwatch

    runs_ms: List[Dict[str, float]] = []
    runs_us: List[float] = []
    session = open_session(path, threads, build)
    try:
        text = session.inspect()
        session.profile(feeds, 0)  # warms up
        whole = Stopwatch()
        while len(runs_us) < _PROFILED_RUNS and (len(runs_us) < _PROFILED_RUNS_MIN or whole.read_s() < _PROFILED_S):
            once = Stopwatch()
            runs_ms += session.profile(feeds, 1)
            runs_us.append(once.read_s() * 1e6)
    finally:
        session.close()
    check_times(runs_ms, str(path))
    nodes, kinds = list_kernels(text), list_kinds(text)
    kernels = [
        Kernel(
            name=name,
            op=kinds.get(name, UNKNOWN),
            median_us=median(run_ms[name] for run_ms in runs_ms) * 1e3,
            layers=nodes.get(name, ()),
        )
        for name in runs_ms[0]
    ]
    return kernels, runs_us


def time_layers(
    path: Path, feeds: Mapping[str, NDArray[np.generic]], *, build: BuildRequest, layers: Collection[str], runs: int
) -> Dict[str, List[float]]:
    """Return the time in microseconds of each of these layers in each run, where a kernel of the engine is its own.

    Raises ToolchainError as open_session does, and exit 20 where the profile cannot be used.
    """
    session = open_session(path, 1, build)
    try:
        kernels = list_kernels(session.inspect())
        runs_ms = session.profile(feeds, runs)
    finally:
        session.close()
    check_times(runs_ms, str(path))
    return assign_times(runs_ms, kernels, layers)


def compare_layers(
    paths: Sequence[Path],
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    builds: Sequence[BuildRequest],
    layers: Collection[str],
) -> Dict[str, Ratio]:
    """Return how many times as long each of these layers takes in the second engine as in the first, measured in turns.

    A layer without a kernel of its own in either is left out. Raises ToolchainError as time_layers does.
    """
    runs_ms: List[List[Dict[str, float]]] = [[], []]
    with ExitStack() as stack:
        sessions = []
        for path, build in zip(paths, builds):  # noqa: B905 - Python 3.8 has no strict
            sessions.append(open_session(path, 1, build))
            stack.callback(sessions[-1].close)
        kernels = [list_kernels(session.inspect()) for session in sessions]
        for _ in range(_ROUNDS):
            for index, session in enumerate(sessions):
                runs_ms[index] += session.profile(feeds, _RUNS_A_ROUND)
    times = []
    for index, path in enumerate(paths):
        check_times(runs_ms[index], str(path))
        times.append(assign_times(runs_ms[index], kernels[index], layers))
    return {
        name: compare_rounds(_divide_rounds(times[1][name], times[0][name])) for name in times[0] if name in times[1]
    }


def _divide_rounds(numerators: Sequence[float], denominators: Sequence[float]) -> List[float]:
    rounds = range(0, len(numerators), _RUNS_A_ROUND)
    medians = [
        [median(times[start : start + _RUNS_A_ROUND]) for start in rounds] for times in (numerators, denominators)
    ]
    return [numerator / medians[1][index] for index, numerator in enumerate(medians[0])]


def _complete(build: Optional[BuildRequest], path: Path) -> BuildRequest:
    # A file outside of a bundle is its own: it has no evaluation set that would tell the shapes of dynamic inputs.
    if build is not None:
        return build
    _check_exists(path)
    return BuildRequest(
        bundle_dir=path.parent,
        bundle_id=compute_sha256(path),
        shapes={},
        spec=BuildSpec(),
        engines=find_user_root(),
    )


def _make_key(trt: Any, cuda: Cuda, path: Path, request: BuildRequest) -> EngineKey:
    _check_exists(path)
    gpu = cuda.read_gpu()
    shapes = {name: asdict(limits) for name, limits in request.shapes.items()}
    return EngineKey(
        bundle_id=request.bundle_id,
        payload=path.relative_to(request.bundle_dir).as_posix(),
        payload_sha256=compute_sha256(path),
        tensorrt=str(trt.__version__),
        gpu=gpu.name,
        architecture=gpu.architecture,
        power_mode=read_jetson(Path("/")).power_mode,
        options=json.dumps({"shapes": shapes, "build": asdict(request.spec)}, sort_keys=True),
    )


def _build(trt: Any, cuda: Cuda, path: Path, request: BuildRequest, timing_cache: bytes) -> Built:
    free_bytes, _ = cuda.read_memory_bytes()
    options = BuildOptions(
        shapes=request.shapes,
        spec=request.spec,
        free_bytes=free_bytes,
        timing_cache=timing_cache,
        on_steps=request.on_steps,
    )
    return build_engine(trt, _read_model(path), str(path), options)


def _describe(pin: Pin, *, is_reused: bool) -> EngineFacts:
    return EngineFacts(
        sha256=pin.sha256,
        size_bytes=pin.size_bytes,
        build_s=pin.build_s,
        reused=is_reused,
        runtime_version=pin.key.tensorrt,
        gpu=pin.key.gpu,
        architecture=pin.key.architecture,
        power_mode=pin.key.power_mode,
        gpu_fallback=pin.gpu_fallback,
    )


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise ToolchainError(
            ExitCode.MALFORMED,
            "there is no payload",
            where=str(path),
            expected="a file",
            found="none",
            fix="write the bundle again, or copy the whole of it",
        )


def _read_model(path: Path) -> bytes:
    _check_exists(path)
    return path.read_bytes()

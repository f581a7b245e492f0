"""Opens a payload: its engine is built here, or was before. Not yet run on hardware."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping, Optional

import numpy as np
from numpy.typing import NDArray

from ...build_spec import BuildSpec
from ...contents import compute_sha256
from ...errors import ExitCode, ToolchainError
from ..jetson import read_jetson
from ..placement import Placement
from ..session import BuildRequest, EngineFacts
from .cuda import Cuda
from .engine import BuildOptions, Built, build_engine, parse_model
from .engine_cache import EngineCache, EngineKey, Pin, find_root, find_user_root
from .execution import TensorRtSession
from .inspector import read_placement as read_inspected
from .macs import list_multiply_layers
from .versions import load_cudart, load_tensorrt


def open_built(path: Path, build: Optional[BuildRequest] = None) -> TensorRtSession:
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
    path: Path, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Placement:
    """Return what TensorRT's inspector says of the engine; MACs are those of the network before it was fused."""
    session = open_built(path, build)
    try:
        text = session.inspect()
    finally:
        session.close()
    trt = load_tensorrt()
    batch = max((array.shape[0] for array in feeds.values() if array.ndim), default=1)
    parsed = parse_model(trt, _read_model(path), str(path))
    return read_inspected(text, list_multiply_layers(trt, parsed.network, batch))


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

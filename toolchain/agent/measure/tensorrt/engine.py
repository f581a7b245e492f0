"""Builds an engine from an ONNX file: strongly typed, explicit Q/DQ, within limits of memory and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from ...build_spec import BuildSpec
from ...errors import ExitCode, ToolchainError
from ..latency import Stopwatch
from ..session import ShapeRange
from .dla import place_on_dla
from .logger import create_logger, read_last_error
from .profiles import add_profile
from .progress import OnSteps, create_monitor
from .versions import find_network_flags, list_invalid_flags

# Nothing here was measured on hardware yet.
# On a Jetson the GPU's memory is that of everything else: a build takes half of what is free, so that the rest goes on.
_FREE_SHARE = 0.5
# The least with which a build is begun: three copies of the weights (the file, the network's, the engine's) and 64 MiB,
# under which TensorRT finds no kernel for some convolutions.
_WEIGHT_COPIES = 3
_WORKSPACE_BYTES_MIN = 64 << 20


@dataclass(frozen=True)
class BuildOptions:
    """`shapes` are those of dynamic inputs; `timing_cache` what an earlier build learned, b"" for none."""

    shapes: Mapping[str, ShapeRange]
    spec: BuildSpec
    free_bytes: int
    timing_cache: bytes = b""
    on_steps: Optional[OnSteps] = None


@dataclass(frozen=True)
class Built:
    """A serialized engine; `gpu_fallback` are the layers that the DLA did not take."""

    engine: bytes
    timing_cache: bytes
    build_s: float
    gpu_fallback: Tuple[str, ...]


@dataclass(frozen=True)
class Parsed:
    """A network as TensorRT parsed it; its parts must outlive it."""

    builder: Any
    network: Any
    parser: Any
    logger: Any


def parse_model(trt: Any, model: bytes, where: str) -> Parsed:
    """Return the strongly typed network of an ONNX file.

    Raises ToolchainError (exit 12) that names the first node which this TensorRT does not take.
    """
    logger = create_logger(trt)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # pybind11's words for a null pointer
        fix = "look whether the GPU's driver is loaded and not older than this TensorRT"
        what = "TensorRT cannot start on this board"
        raise ToolchainError(
            ExitCode.INCOMPATIBLE, what, where=where, found=read_last_error(logger) or str(error), fix=fix
        ) from error
    network = builder.create_network(find_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise _explain_parser(trt, parser, where)
    return Parsed(builder=builder, network=network, parser=parser, logger=logger)


def _explain_parser(trt: Any, parser: Any, where: str) -> ToolchainError:
    found, node = "TensorRT gave no reason", ""
    if parser.num_errors:
        parser_error = parser.get_error(0)
        found, name = parser_error.desc(), parser_error.node_name()
        node = f": node {name} ({parser_error.node_operator()})" if name else ""
    return ToolchainError(
        ExitCode.INCOMPATIBLE,
        f"the parser of TensorRT {trt.__version__} refuses this model",
        where=where + node,
        found=found,
        fix="upgrade TensorRT on the board (JetPack), or write this part of the model with other operators",
    )


def find_workspace_bytes(model_bytes: int, free_bytes: int, limit_mib: Optional[int]) -> int:
    """Return the workspace of a build; raises ToolchainError (exit 12) where too little memory is free to begin one."""
    least = _WEIGHT_COPIES * model_bytes + _WORKSPACE_BYTES_MIN
    if free_bytes < least:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "the board has too little free memory to build this engine",
            where="GPU memory",
            expected=f"{least >> 20} MiB",
            found=f"{free_bytes >> 20} MiB",
            fix="stop what else runs (on a Jetson, the desktop too), or add swap",
        )
    workspace_bytes = max(_WORKSPACE_BYTES_MIN, int(free_bytes * _FREE_SHARE))
    return workspace_bytes if limit_mib is None else min(workspace_bytes, limit_mib << 20)


def build_engine(trt: Any, model: bytes, where: str, options: BuildOptions) -> Built:
    """Return the engine of an ONNX file.

    Raises ToolchainError (exit 12): a node that TensorRT does not take, a dynamic input without shapes, a DLA that does
    not take all, too little memory, the time limit, anything else for which TensorRT gives up; 23 shapes that do not fit.
    """
    workspace_bytes = find_workspace_bytes(len(model), options.free_bytes, options.spec.workspace_mib)
    parsed = parse_model(trt, model, where)
    config = parsed.builder.create_builder_config()
    for pool in (trt.MemoryPoolType.WORKSPACE, trt.MemoryPoolType.TACTIC_DRAM):
        config.set_memory_pool_limit(pool, workspace_bytes)
    for flag in list_invalid_flags(trt):
        config.clear_flag(flag)
    # TensorRT looks itself which weights are 2:4 sparse; for others the flag changes nothing.
    config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # without it the inspector tells no precision
    add_profile(parsed.builder, parsed.network, config, options.shapes)
    gpu_fallback: Tuple[str, ...] = ()
    if options.spec.dla_core is not None:
        gpu_fallback = place_on_dla(trt, parsed.builder, parsed.network, config, options.spec)
    _set_timing_cache(config, options.timing_cache)
    stopwatch = Stopwatch()
    monitor = create_monitor(trt, stopwatch, options.spec.limit_s, options.on_steps)
    config.progress_monitor = monitor
    engine = parsed.builder.build_serialized_network(parsed.network, config)
    build_s = stopwatch.read_s()
    if engine is None:
        raise _explain_build(monitor, parsed.logger, where, options.spec.limit_s)
    return Built(
        engine=bytes(engine),
        timing_cache=_read_timing_cache(config),
        build_s=build_s,
        gpu_fallback=gpu_fallback,
    )


def _explain_build(monitor: Any, logger: Any, where: str, limit_s: float) -> ToolchainError:
    if monitor.timed_out:
        return ToolchainError(
            ExitCode.INCOMPATIBLE,
            "the engine was not built within the time limit",
            where=where,
            expected=f"at most {limit_s:g} s",
            found="a build that went on",
            fix="put the board into its fastest power mode, stop what else runs, or deploy a smaller model",
        )
    found = read_last_error(logger)
    fix = "free memory on the board, or upgrade TensorRT; the text is TensorRT's own"
    return ToolchainError(ExitCode.INCOMPATIBLE, "TensorRT cannot build this engine", where=where, found=found, fix=fix)


def _set_timing_cache(config: Any, data: bytes) -> None:
    # A cache of another GPU or version is refused by TensorRT: then the build learns anew.
    if not config.set_timing_cache(config.create_timing_cache(data), False):  # noqa: FBT003 - TensorRT's signature
        config.set_timing_cache(config.create_timing_cache(b""), False)  # noqa: FBT003 - TensorRT's signature


def _read_timing_cache(config: Any) -> bytes:
    timings = config.get_timing_cache()
    return b"" if timings is None else bytes(timings.serialize())

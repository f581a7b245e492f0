"""TensorRT for RTX on the host: NVIDIA's own parser judges a graph, and its builder makes the engine ahead of time.

Neither needs a GPU: the engine is for the compute capabilities that the target lists, and is never opened here. The same
graph makes the same bytes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from toolchain.errors import ExitCode, ToolchainError, missing, usage
from toolchain.lower.tensorrt.native_log import keep_native_log
from toolchain.lower.tensorrt.profile import ShapeRange


def is_installed() -> bool:
    """Return whether TensorRT for RTX can be imported."""
    return importlib.util.find_spec("tensorrt_rtx") is not None


def check_parses(model: onnx.ModelProto) -> None:
    """Refuse (exit 12) a graph that NVIDIA's parser does not take; the error names the node and says why."""
    with keep_native_log():
        _Parsed.from_model(model)


def build_engine(
    model: onnx.ModelProto,
    *,
    compute_capabilities: Sequence[str],
    profile: Mapping[str, ShapeRange],
    sparse_weights: bool,
) -> bytes:
    """Return the serialized engine for these compute capabilities, such as "8.6".

    profile: of every input with a dynamic shape. Raises ToolchainError: exit 2 for a compute capability that TensorRT
    for RTX does not know, exit 3 where it is not installed, exit 12 for a graph that it cannot build.
    """
    if not is_installed():
        raise missing("TensorRT for RTX is not installed", fix="python -m pip install 'edge-toolchain[rtx]'")
    import tensorrt_rtx as trt

    with keep_native_log() as log:
        parsed = _Parsed.from_model(model)
        config = parsed.builder.create_builder_config()
        if sparse_weights:
            config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
        config.num_compute_capabilities = len(compute_capabilities)
        for index, capability in enumerate(compute_capabilities):
            config.set_compute_capability(_find_capability(trt, capability), index)
        _add_profile(parsed, config, profile)
        engine = parsed.builder.build_serialized_network(parsed.network, config)
        if engine is None:
            found = (log.read_errors() or ["TensorRT gave no reason"])[-1]
            raise _refuse(None, found, "TensorRT for RTX cannot build this model")
        return bytes(engine)


@dataclass(frozen=True)
class _Parsed:
    """A network as TensorRT parsed it; its parts must outlive it."""

    builder: Any
    network: Any
    parser: Any

    @classmethod
    def from_model(cls, model: onnx.ModelProto) -> _Parsed:
        import tensorrt_rtx as trt

        # TensorRT's own logger, which writes to standard output: one in Python is called from TensorRT's threads while
        # the call that waits for them holds the interpreter's lock, and neither ever returns.
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            error = parser.get_error(0)
            node = f"{error.node_name()} ({error.node_operator()})" if error.node_name() else None
            # Without a GPU, TensorRT adds to every text that it found no driver.
            lines = [line.strip() for line in error.desc().splitlines() if "catchCudaError" not in line]
            raise _refuse(node, " ".join(lines), "NVIDIA's parser refuses this model")
        return cls(builder=builder, network=network, parser=parser)


def _refuse(node: str | None, found: str, what: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.INCOMPATIBLE,
        what,
        where=f"node {node}" if node else None,
        found=found,
        fix="write this part of the model with other operators, or leave it to another runtime",
    )


def _find_capability(trt: Any, capability: str) -> Any:
    known = {f"{int(name[2:]) // 10}.{int(name[2:]) % 10}": name for name in _list_names(trt)}
    if capability not in known:
        raise usage(
            "TensorRT for RTX does not build for this compute capability",
            where="compute_capabilities",
            expected=f"some of {', '.join(sorted(known, key=float))}",
            found=capability,
            fix="correct the target",
        )
    return trt.ComputeCapability.__members__[known[capability]]


def _list_names(trt: Any) -> list[str]:
    return [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]


def _add_profile(parsed: _Parsed, config: Any, profile: Mapping[str, ShapeRange]) -> None:
    """State the shapes of dynamic inputs; refuse (exit 12) a dynamic input without any."""
    inputs = [parsed.network.get_input(index) for index in range(parsed.network.num_inputs)]
    dynamic = [value for value in inputs if any(length < 0 for length in value.shape)]
    if not dynamic:
        return
    ranges = parsed.builder.create_optimization_profile()
    for value in dynamic:
        if value.name not in profile:
            raise ToolchainError(
                ExitCode.INCOMPATIBLE,
                "an input has a dynamic shape and no profile",
                where=f"input {value.name}",
                expected="the shapes that it will have",
                found=str(tuple(value.shape)),
                fix="give calibration data for this input, or export the model with fixed shapes",
            )
        shapes = profile[value.name]
        ranges.set_shape(value.name, shapes.least, shapes.usual, shapes.most)
    config.add_optimization_profile(ranges)

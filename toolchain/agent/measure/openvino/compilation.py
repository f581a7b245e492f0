"""Compiles a payload, with every property that OpenVINO would choose otherwise (docs/openvino.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ExitCode, ToolchainError
from ..pinning import refuse_pinning
from .library import list_errors, read_first_line, read_openvino_version

_DEVICE = "CPU"

COMPUTES_IN = "toolchain.computes_in"
"""The entry of a payload's metadata that says what its float layers are computed in: "bf16" is the only one that counts."""


def read_model(path: Path) -> Any:
    """Return the frontend's graph of an ONNX file; raises ToolchainError: exit 23 malformed, 12 an operator that it lacks."""
    from openvino.frontend import FrontEndManager, OpConversionFailure

    def refuse(found: str) -> ToolchainError:
        return ToolchainError(
            code=ExitCode.MALFORMED,
            what="OpenVINO cannot open the payload",
            where=str(path),
            expected="an ONNX model",
            found=found,
            fix="export and lower the model again",
        )

    if not path.is_file():
        raise refuse("no file")
    try:
        # Not Core.read_model: where ONNX's frontend fails it tries the others, and TensorFlow's writes to stderr. It also
        # takes out inputs that nobody reads.
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(str(path)))
    except OpConversionFailure as error:
        raise _refuse_operator(path, error) from error
    except list_errors() as error:
        raise refuse(read_first_line(error)) from error
    if not model.outputs:  # an empty file is an empty protobuf message, and no error
        raise refuse("a model without outputs")
    return model


def _refuse_operator(path: Path, error: BaseException) -> ToolchainError:
    return ToolchainError(
        code=ExitCode.INCOMPATIBLE,
        what=f"OpenVINO {read_openvino_version()} cannot run this payload",
        where=str(path),
        found=read_first_line(error),
        fix="upgrade OpenVINO on the board, or lower the model for the version that is there",
    )


def compile_model(
    model: Any, path: Path, threads: int, *, is_profiled: bool = False, pins_threads: bool = False
) -> Any:
    """Return the compiled graph; raises ToolchainError (exit 12) where this version cannot run it, or pins no threads."""
    import openvino

    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # The default is bf16 or f16 where the CPU has it: 49 dB instead of 129 on a pair of convolutions.
        "INFERENCE_PRECISION_HINT": _find_precision(model),
        # The default, 32, quantizes what a layer with int8 weights reads at run time: 46 dB instead of 135. It is a text
        # because 2024.4 refuses a number.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        # The default, True, keeps a thread on one core whoever else is there, as no other runtime does unasked.
        "ENABLE_CPU_PINNING": pins_threads,
        # Not among SUPPORTED_PROPERTIES, but taken. Snippets hide chains of products in one layer of no known precision.
        "SNIPPETS_MODE": "DISABLE",
        "CACHE_DIR": "",
        "PERF_COUNT": is_profiled,
    }
    try:
        compiled = openvino.Core().compile_model(model, _DEVICE, properties)
    except list_errors() as error:
        raise _refuse_operator(path, error) from error
    if pins_threads:
        _check_pinned(compiled, path, threads)
    return compiled


def _check_pinned(compiled: Any, path: Path, threads: int) -> None:
    """Refuse (exit 12) a graph whose threads are not pinned, or fewer: of fewer CPUs OpenVINO takes fewer threads, unasked."""
    names = ("ENABLE_CPU_PINNING", "INFERENCE_NUM_THREADS")
    found = [compiled.get_property(name) for name in names]
    if found != [True, threads]:
        told = ", ".join(f"{name} {value}" for name, value in zip(names, found))  # noqa: B905 - Python 3.8 has no strict
        raise refuse_pinning(str(path), f"{threads} pinned threads", told)


def _find_precision(model: Any) -> str:
    """Return what float is computed in: bf16 where the payload asks for it and the CPU has it, else float32.

    Without bf16 it would be emulated. The gate on precision finds float32 where bf16 was asked for.
    """
    entry = ["framework", COMPUTES_IN]  # where the frontend puts an ONNX file's metadata
    is_asked = model.has_rt_info(entry) and str(model.get_rt_info(entry).value) == "bf16"
    return "bf16" if is_asked and has_bf16() else "f32"


def has_bf16() -> bool:
    """Return whether this CPU computes in bf16."""
    import openvino

    return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")

"""The differences between the versions of TensorRT (10.3 to 11) and of the CUDA bindings, all in this file.

What is not here is the same in all of them: tests/agent/tensorrt/bindings/ holds the signatures of both ends.
"""

from __future__ import annotations

from typing import Any

from ...errors import ExitCode, ToolchainError

# JetPack 6.1 has 10.3; it is the oldest whose parser reads opset 20 into a strongly typed network (NVIDIA's opset guide).
OLDEST = (10, 3)


def load_tensorrt() -> Any:
    """Return the module tensorrt; raises ToolchainError: exit 3 where it is not installed, 12 where it is too old."""
    try:
        import tensorrt

        version = str(tensorrt.__version__)
    except (ImportError, AttributeError) as error:  # a folder of this name can be imported too, and has no version
        raise ToolchainError(
            ExitCode.MISSING,
            "the runtime tensorrt cannot be loaded",
            found=str(error),
            fix="on a Jetson: sudo apt install python3-libnvinfer, and a venv with --system-site-packages; "
            "elsewhere: python -m pip install tensorrt",
        ) from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "this TensorRT is too old for strongly typed int8 and float16",
            where="tensorrt",
            expected=f"{'.'.join(map(str, OLDEST))} or newer",
            found=version,
            fix="upgrade the board to JetPack 6.1 or newer",
        )
    return tensorrt


def load_cudart() -> Any:
    """Return the module of the CUDA runtime; raises ToolchainError (exit 3) where it is not installed."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        pass
    else:
        return runtime
    try:
        from cuda import cudart  # its name before cuda-python 12.6.1
    except ImportError as error:
        raise ToolchainError(
            ExitCode.MISSING,
            "the CUDA runtime cannot be loaded from Python",
            found=str(error),
            fix="python -m pip install 'cuda-python~=12.6' on JetPack 6, 'cuda-python~=13.0' on JetPack 7",
        ) from error
    return cudart


def find_network_flags(trt: Any) -> int:
    """Return the flags of a strongly typed network: the types in the graph are the types of the kernels.

    TensorRT 11 knows no other kind, and calls the flag deprecated; a later version may drop its name.
    """
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def list_invalid_flags(trt: Any) -> Any:
    """Return the builder flags that are on by default and change what a type means.

    TF32 multiplies float32 with 10 bits of mantissa: float32 then is no reference for anything.
    """
    return [trt.BuilderFlag.TF32]

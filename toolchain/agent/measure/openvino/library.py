"""OpenVINO itself: imported without what it would tell others, its version, and what its errors say."""

from __future__ import annotations

import re
import sys
from typing import Tuple, Type

# `import openvino` imports openvino.tools.ovc, which tells Google Analytics so and writes to ~/intel, unless one opted
# out. It converts models of other frameworks, which the agent never does; openvino does without it.
_TELEMETRY = ("openvino_telemetry", "openvino.tools.ovc")


def load_openvino() -> None:
    """Import OpenVINO without what it would tell others; raises ImportError where it is missing."""
    absent = [name for name in _TELEMETRY if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # whoever imports it gets an ImportError
    try:
        import openvino.frontend  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


def list_errors() -> Tuple[Type[Exception], ...]:
    """Return OpenVINO's exceptions, and what its bindings raise."""
    # The frontend's exceptions derive from Exception alone; the core's are RuntimeError.
    from openvino.frontend import GeneralFailure, OpConversionFailure, OpValidationFailure

    return GeneralFailure, OpConversionFailure, OpValidationFailure, RuntimeError, ValueError, TypeError


def read_first_line(error: BaseException) -> str:
    """Return the line that says what went wrong: those before it name OpenVINO's own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    source = re.compile(r"(Exception from |Check '|FrontEnd API failed|Model wasn't fully|Summary:)")
    told = [line for line in lines if not source.match(line)] or lines or [type(error).__name__]
    return " ".join(told[: 2 if told[0].endswith(":") else 1])


def read_openvino_version() -> str:
    """Return the version of OpenVINO as x.y.z: it calls itself "2026.4.1-22982-e213a147257-releases/2026/4"."""
    import openvino

    return str(openvino.get_version()).split("-", 1)[0]

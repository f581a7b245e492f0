"""What a slim install does without: the modules of the extras in pyproject.toml, and how to get them."""

from __future__ import annotations

import importlib.util
import sys

from toolchain.errors import ExitCode, ToolchainError

BUILD = "build"
"""The extra with what trains, compresses, exports and lowers; boards, bundles and reports need none of it."""

EXTRAS = {
    BUILD: (
        *("torch", "torchvision", "onnxsim", "onnxscript", "accelerate", "ckmeans", "matplotlib", "numba", "optuna"),
        *("PIL", "safetensors", "soundfile", "tomli_w", "torch_pruning"),
    ),
    "labgrid": ("labgrid",),
    "openvino": ("openvino",),
    "rtx": ("tensorrt_rtx",),
    "tensorrt": ("tensorrt", "cuda"),
}
"""The modules that each extra brings, by its name; what develops the toolchain is not among them."""

# Of the modules that a message names; the extra brings all of them.
_NAMED_MAX = 3


def write_install(extra: str | None) -> str:
    """Return the command that installs the toolchain with an extra."""
    return (
        "python -m pip install edge-toolchain" if extra is None else f"python -m pip install 'edge-toolchain[{extra}]'"
    )


def find_extra(module: str) -> str | None:
    """Return the extra that brings a module, such as torch.nn; None where none does."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def list_missing(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed; nothing is imported."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def require_build(command: str) -> None:
    """Refuse (exit 3) a command of a slim install that makes models, before it does anything."""
    lacking = list_missing(BUILD)
    if not lacking:
        return
    rest = len(lacking) - _NAMED_MAX
    raise ToolchainError(
        ExitCode.MISSING,
        f"`toolchain {command}` needs what makes models, which is not installed",
        where=sys.executable,
        expected=f"edge-toolchain[{BUILD}]",
        found=f"no {', '.join(lacking[:_NAMED_MAX])}" + (f" and {rest} more" if rest > 0 else ""),
        fix=write_install(BUILD),
    )

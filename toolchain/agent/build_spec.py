"""What a bundle lets a runtime do that builds engines on the board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .bundle_files import require

# Three engines of it and their measurement are within the time limit of a self-test (install.py). Not yet run on
# hardware: trtexec builds classifiers on an Orin Nano in minutes; a quarter of an hour is several times that.
BUILD_LIMIT_S_MAX = 900.0


@dataclass(frozen=True)
class BuildSpec:
    """How a runtime that builds engines on the board may do so; for the others it says nothing.

    A build ends after `limit_s`, and works with at most `workspace_mib` of memory (None: half of what is free). Candidates
    run on DLA core `dla_core` (None: on the GPU), and where `gpu_fallback`, what that does not take runs on the GPU.
    """

    limit_s: float = BUILD_LIMIT_S_MAX
    workspace_mib: Optional[int] = None
    dla_core: Optional[int] = None
    gpu_fallback: bool = False


def check_build(build: BuildSpec) -> None:
    """Refuse (exit 23) limits that no build can keep."""
    require(0 < build.limit_s <= BUILD_LIMIT_S_MAX, "build.limit_s", f"up to {BUILD_LIMIT_S_MAX:g}", build.limit_s)
    require(
        build.workspace_mib is None or build.workspace_mib >= 1, "build.workspace_mib", "1 or more", build.workspace_mib
    )
    require(build.dla_core is None or build.dla_core >= 0, "build.dla_core", "0 or more", build.dla_core)

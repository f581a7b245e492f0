"""Opens a payload with the runtime of a given name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Dict, Mapping, Optional, Protocol, Sequence, Tuple, cast

import numpy as np
from numpy.typing import NDArray

from . import runtimes
from .errors import ExitCode, ToolchainError
from .manifest import TensorSpec
from .placement import Placement


class Session(Protocol):
    """An opened payload."""

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """The inputs in the payload's order."""

    @property
    def outputs(self) -> Tuple[TensorSpec, ...]:
        """The outputs in the payload's order."""

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output for one array per input."""


class Runtime(Protocol):
    """A module in runtimes/: one runtime, under the name that targets give it."""

    def read_version(self) -> str:
        """Return the version of the runtime on this board; raises ToolchainError (exit 3) where it is missing."""

    def read_accelerator(self) -> Optional[str]:
        """Return the accelerator that the runtime uses, such as "sm_87"; None for the CPU."""

    def open_session(self, path: Path, threads: int) -> Session:
        """Open a payload; raises ToolchainError (exit 23) where it is malformed."""

    def read_placement(self, path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]]) -> Placement:
        """Run a payload once and return the precision that every layer ran at."""


def list_runtimes() -> Sequence[str]:
    """Return the names of the runtimes that this agent knows."""
    return sorted(module.name for module in pkgutil.iter_modules(runtimes.__path__))


def find_runtime(name: str) -> Runtime:
    """Return the runtime of this name; raises ToolchainError: exit 2 unknown name, exit 3 not installed."""
    known = list_runtimes()
    if name not in known:
        raise ToolchainError(
            ExitCode.USAGE,
            f"there is no runtime {name!r}",
            "runtime",
            f"one of {', '.join(known)}",
            fix="correct the target's runtime",
        )
    try:
        module = importlib.import_module(f"{runtimes.__name__}.{name}")
    except ImportError as error:
        raise ToolchainError(
            ExitCode.MISSING,
            f"the runtime {name} cannot be loaded",
            found=str(error),
            fix=f"install it for {sys.executable}: python -m pip install {name}",
        ) from error
    return cast("Runtime", module)


def open_session(runtime: str, path: Path, threads: int) -> Session:
    """Open a payload with the runtime of this name, on `threads` threads.

    Raises ToolchainError: exit 2 unknown runtime, 3 the runtime is not installed, 12 the runtime cannot run this
    payload, 23 malformed payload.
    """
    return find_runtime(runtime).open_session(path, threads)

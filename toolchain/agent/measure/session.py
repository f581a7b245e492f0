"""Opens a payload with the runtime of a given name."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional, Protocol, Tuple, cast

from ..build_spec import BuildSpec
from ..errors import ExitCode, ToolchainError
from ..manifest import TensorSpec
from . import runtimes
from .members import import_member
from .pinning import refuse_pinning
from .placement import Placement
from .traits import can_pin, find_traits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ShapeRange:
    """The shapes that an input will have: the least and the greatest length of every axis, and the usual shape."""

    least: Tuple[int, ...]
    usual: Tuple[int, ...]
    most: Tuple[int, ...]


@dataclass(frozen=True)
class BuildRequest:
    """What a runtime that builds an engine of the payload must know; the others do not ask.

    `shapes` has every input that may be dynamic; `on_steps` gets what is done of the build, and the total. `spec` of the
    reference has no DLA, which does not compute in float32.
    """

    bundle_dir: Path
    bundle_id: str
    shapes: Mapping[str, ShapeRange]
    spec: BuildSpec
    on_steps: Optional[Callable[[int, int], None]] = None
    engines: Optional[Path] = None
    """Where engines are kept; None is the board whose release this is (tensorrt/engine_cache.py)."""


@dataclass(frozen=True)
class EngineFacts:
    """The engine that a runtime built of a payload on this board; `reused` says that an earlier run built it.

    `gpu_fallback` are layers that a DLA did not take. `cuda_graph` is "captured" or says why not; None before a second run.
    """

    sha256: str
    size_bytes: int
    build_s: float
    reused: bool
    runtime_version: str
    gpu: str
    architecture: str
    power_mode: Optional[str]
    gpu_fallback: Tuple[str, ...]
    cuda_graph: Optional[str] = None


class Session(Protocol):
    """An opened payload."""

    @property
    def engine(self) -> Optional[EngineFacts]:
        """What was built of the payload; None where it runs as it is."""

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """The inputs in the payload's order."""

    @property
    def outputs(self) -> Tuple[TensorSpec, ...]:
        """The outputs in the payload's order."""

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output for one array per input."""

    def close(self) -> None:
        """Give back what the session holds; it cannot run any more."""


class Runtime(Protocol):
    """A module in runtimes/: one runtime, under the name that targets give it; its TRAITS are in traits.py."""

    def load(self) -> None:
        """Import the runtime itself, which importing this module must not; raises ImportError where it is missing."""

    def read_version(self) -> str:
        """Return the version of the runtime on this board; raises ToolchainError (exit 3) where it is missing."""

    def read_accelerator(self) -> Optional[str]:
        """Return the accelerator that the runtime uses, such as "sm_87"; None for the CPU."""

    def read_details(self) -> Mapping[str, object]:
        """Return what else is to be known of the accelerator, in JSON types; None is unknown, empty for the CPU."""

    # read_device_peak_bytes() -> Optional[int], which a module need not have: the most memory of the accelerator that this process
    # has held, None where that cannot be told. Without it the memory of what uses an accelerator is unknown.

    def open_session(self, path: Path, threads: int, build: Optional[BuildRequest]) -> Session:
        """Open a payload; raises ToolchainError (exit 23) where it is malformed."""

    # open_engine(data: bytes, path: Path) -> Session, which a module has whose TRAITS.engine is "board": it opens the bytes of an
    # engine, builds nothing, and reads nothing of `path`, where they lay.

    # open_pinned(path: Path, threads: int) -> Session, which a module has whose TRAITS.pins_from is a number: it opens a payload on
    # threads of which each keeps to one CPU, and raises ToolchainError (exit 12) where that was not done as it was asked.

    def read_placement(
        self, path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest]
    ) -> Placement:
        """Return the precision that every layer of a payload runs at, given these inputs."""


def find_runtime(name: str) -> Runtime:
    """Return the runtime of this name, loaded.

    Raises ToolchainError: exit 2 for an unknown name, and for a runtime that no board has; exit 3 where it is not installed.
    """
    traits = find_traits(name)
    if traits.engine == "host":
        raise ToolchainError(
            code=ExitCode.USAGE,
            what=f"no board runs {name} yet",
            where="runtime",
            expected="a runtime that opens payloads",
            found=name,
            fix="choose another target; this one is for `toolchain lower` alone",
        )
    try:
        module = import_member(runtimes, name)
        module.load()
    except ImportError as error:
        raise ToolchainError(
            code=ExitCode.MISSING,
            what=f"the runtime {name} cannot be loaded",
            found=str(error),
            fix=f"install it for {sys.executable}: {traits.install}",
        ) from error
    return cast("Runtime", module)


def open_session(
    runtime: str, path: Path, threads: int, build: Optional[BuildRequest] = None, *, pins_threads: bool = False
) -> Session:
    """Open a payload with the runtime of this name, on `threads` threads, each pinned to a CPU of its own or none.

    Raises ToolchainError: exit 2 unknown runtime, 3 the runtime is not installed, 12 the runtime cannot run this
    payload, or pins no threads here, 23 malformed payload.
    """
    found = find_runtime(runtime)
    if not pins_threads:
        return found.open_session(path, threads, build)
    opener = getattr(found, "open_pinned", None)
    if opener is None or not can_pin(runtime, threads):
        raise refuse_pinning(str(path), "a runtime that pins so many threads", f"{runtime}, {threads}")
    return cast("Session", opener(path, threads))


def open_engine(runtime: str, data: bytes, path: Path) -> Session:
    """Open the bytes of an engine that the runtime of this name built on this board; nothing is built, and no file is read.

    Whoever calls it has held them against what was proven: an engine is as trusted as native code. Raises ToolchainError: exit 2
    unknown runtime, 3 the runtime is not installed, 12 it cannot open this engine, or opens none.
    """
    opener = getattr(find_runtime(runtime), "open_engine", None)
    if opener is None:
        what, fix = f"{runtime} opens no engines", "deploy the bundle again"
        raise ToolchainError(
            ExitCode.INCOMPATIBLE, what, where=str(path), expected="a payload", found="an engine", fix=fix
        )
    return cast("Session", opener(data, path))

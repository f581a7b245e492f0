"""OpenVINO on the CPU: what Intel's edge boxes run. What it does unasked, and why each property is set: docs/openvino.md.

What is imported when it is asked for measures layers: an application's wheel leaves it out (app/agent_files.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Tuple

from ..openvino.compilation import compile_model, read_model
from ..openvino.execution import OpenVinoSession, name_port
from ..openvino.library import load_openvino, read_openvino_version
from ..pinning import choose_cpus
from ..placement import Placement
from ..session import BuildRequest
from ..traits import LibraryPlaces, Traits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..layer_times import Kernel, Peaks

TRAITS = Traits(
    install="python -m pip install openvino (beside the toolchain: 'edge-toolchain[openvino]')",
    libraries=LibraryPlaces(beside=("openvino", "openvino.libs"), system=("libopenvino*.so*",)),
    lowered_with=("openvino",),  # trials run on it
    pins_from=1,  # the caller's own thread too, while it runs
)


def load() -> None:
    """Import OpenVINO without what it would tell others; raises ImportError where it is missing."""
    load_openvino()


def read_version() -> str:
    """Return the version of OpenVINO as x.y.z."""
    return read_openvino_version()


def read_accelerator() -> Optional[str]:
    """Return None: this runtime uses the CPU alone."""
    return None


def read_details() -> Mapping[str, object]:
    """Return nothing: this runtime uses the CPU alone."""
    return {}


def open_session(path: Path, threads: int, _build: Optional[BuildRequest] = None) -> OpenVinoSession:
    """Open an ONNX file; raises ToolchainError: exit 23 malformed, 12 an operator that this version lacks."""
    return OpenVinoSession(compile_model(read_model(path), path, threads), path)


def open_pinned(path: Path, threads: int) -> OpenVinoSession:
    """Open an ONNX file on threads of which each keeps to one CPU while it runs; raises as open_session, and as choose_cpus."""
    choose_cpus(threads, str(path))  # OpenVINO counts the CPUs when it is imported: of later ones it tells nothing
    return OpenVinoSession(compile_model(read_model(path), path, threads, pins_threads=True), path)


def read_placement(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], _build: Optional[BuildRequest] = None
) -> Placement:
    """Return what each layer of the compiled graph runs as.

    Shapes are fixed to those of the feeds, so that the graph knows them all; the kernels are those of open_session.
    """
    from ..openvino.layers import read_layers, read_sources

    model = read_model(path)
    sources = read_sources(model)
    model.reshape({port: list(feeds[name_port(port)].shape) for port in model.inputs})
    compiled = compile_model(model, path, threads)
    return Placement(layers=tuple(read_layers(compiled.get_runtime_model().get_ordered_ops(), sources)))


def time_kernels(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], _build: Optional[BuildRequest] = None
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels that open_session runs, under OpenVINO's profiler, and the µs of each whole run."""
    from ..openvino import kernels

    return kernels.time_kernels(path, threads, feeds)


def measure_peaks(threads: int, copy_bytes: int) -> Peaks:
    """Return the best that this board does under OpenVINO."""
    from ..openvino import peaks

    return peaks.measure_peaks(threads, copy_bytes)

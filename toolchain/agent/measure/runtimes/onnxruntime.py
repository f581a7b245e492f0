"""ONNX Runtime on the CPU.

What is imported when it is asked for measures layers: an application's wheel leaves it out (app/agent_files.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple, Type

from ...errors import ExitCode, ToolchainError, first_line
from ...manifest import TensorSpec
from ...temporary import TemporaryFolder
from ..pinning import check_pinned, choose_cpus, list_threads
from ..placement import Placement
from ..session import BuildRequest
from ..traits import LibraryPlaces, Traits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..layer_times import Kernel, Peaks

TRAITS = Traits(
    install="python -m pip install onnxruntime",
    # auditwheel puts what a wheel brings along into NAME.libs.
    libraries=LibraryPlaces(beside=("onnxruntime", "onnxruntime.libs"), system=("libonnxruntime*.so*",)),
    pins_from=2,  # the caller's own thread is none of its, and runs first
)

PROVIDER = "CPUExecutionProvider"
# Enough for a median; of what takes longer there are at least five.
_PROFILED_RUNS, _PROFILED_RUNS_MIN, _PROFILED_S = 50, 5, 0.25
_FATAL = 4  # OrtLoggingLevel: what goes wrong is raised, and stderr is for progress lines

# "tensor(float)" is the one type whose name differs from numpy's, beside double.
_DTYPES = {"float": "float32", "double": "float64", "string": "str"}


def load() -> None:
    """Import ONNX Runtime, its native part too: a folder of that name alone is none."""
    import onnxruntime  # noqa: F401
    from onnxruntime.capi import onnxruntime_pybind11_state  # noqa: F401


def list_errors() -> Tuple[Type[Exception], ...]:
    """Return ONNX Runtime's exceptions, which have no common base of their own (onnxruntime_pybind_exceptions.cc)."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    return (
        native.EPFail,
        native.Fail,
        native.InvalidArgument,
        native.InvalidGraph,
        native.InvalidProtobuf,
        native.NoModel,
        native.NoSuchFile,
        native.NotImplemented,
        native.RuntimeException,
        RuntimeError,
        ValueError,
    )


def read_spec(node: Any, where: str) -> TensorSpec:
    """Return an input or output of ONNX Runtime's; raises ToolchainError (exit 12) where it is no tensor."""
    if not node.type.startswith("tensor("):
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "an input or output is no tensor",
            where=f"{node.name} of {where}",
            expected="a tensor",
            found=node.type,
            fix="export the model with tensors as inputs and outputs",
        )
    dtype = node.type[len("tensor(") : -1]
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(name=node.name, dtype=_DTYPES.get(dtype, dtype), shape=shape)


class OnnxRuntimeSession:
    """A payload opened by ONNX Runtime."""

    engine = None  # the payload runs as it is

    def __init__(self, session: Any, path: Path) -> None:
        self._session = session
        self._path = path
        self.inputs: Tuple[TensorSpec, ...] = tuple(read_spec(node, str(path)) for node in session.get_inputs())
        self.outputs: Tuple[TensorSpec, ...] = tuple(read_spec(node, str(path)) for node in session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output; raises ToolchainError (exit 23) where the payload cannot take the feeds."""
        try:
            arrays = self._session.run(self._output_names, feeds)
        except list_errors() as error:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "the payload fails to run",
                where=str(self._path),
                found=first_line(error),
                fix="export and lower the model again, with samples of the shapes that it gets",
            ) from error
        return dict(zip(self._output_names, arrays))  # noqa: B905 - Python 3.8 has no strict

    def close(self) -> None:
        """Give back the session's memory."""
        self._session = None


def make_options(threads: int) -> Any:
    """Return ONNX Runtime's options for a session that leaves the machine alone when it does not run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Idle worker threads spin for a while after a run, and would take the cores from the session measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _open(path: Path, options: Any, *, disabled_optimizers: Sequence[str] = ()) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    if not path.is_file():
        raise ToolchainError(
            ExitCode.MALFORMED,
            "there is no payload",
            where=str(path),
            expected="a file",
            found="none",
            fix="write the bundle again, or copy the whole of it",
        )
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[PROVIDER], disabled_optimizers=list(disabled_optimizers)
        )
    except native.NotImplemented as error:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            f"ONNX Runtime {onnxruntime.__version__} cannot run this payload",
            where=str(path),
            found=first_line(error),
            fix="upgrade ONNX Runtime where it is opened, or export the model with an older opset and deploy it again",
        ) from error
    except list_errors() as error:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "ONNX Runtime cannot open the payload",
            where=str(path),
            expected="an ONNX model",
            found=first_line(error),
            fix="export and lower the model again",
        ) from error
    providers = session.get_providers()
    if providers != [PROVIDER]:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "ONNX Runtime took another execution provider than asked for",
            where=str(path),
            expected=PROVIDER,
            found=", ".join(providers),
            fix="install the plain onnxruntime package",
        )
    return session


def read_version() -> str:
    """Return the version of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


def read_accelerator() -> Optional[str]:
    """Return None: this runtime uses the CPU alone."""
    return None


def read_details() -> Mapping[str, object]:
    """Return nothing: this runtime uses the CPU alone."""
    return {}


def open_session(path: Path, threads: int, _build: Optional[BuildRequest] = None) -> OnnxRuntimeSession:
    """Open an ONNX file; raises ToolchainError: exit 23 malformed, 12 an operator that this version lacks."""
    return OnnxRuntimeSession(_open(path, make_options(threads)), path)


def open_pinned(path: Path, threads: int) -> OnnxRuntimeSession:
    """Open an ONNX file on threads of which each but the caller's keeps to one CPU; raises as open_session, and as check_pinned."""
    cpus, before, options = choose_cpus(threads, str(path)), list_threads(), make_options(threads)
    # It counts logical processors from 1 (onnxruntime_session_options_config_keys.h).
    affinities = ";".join(str(cpu + 1) for cpu in cpus)
    options.add_session_config_entry("session.intra_op_thread_affinities", affinities)
    session = _open(path, options)
    check_pinned(cpus, before, str(path))
    return OnnxRuntimeSession(session, path)


def read_placement(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], _build: Optional[BuildRequest] = None
) -> Placement:
    """Run an ONNX file once under ONNX Runtime's profiler and return what each layer ran as.

    The graph is the one that open_session runs, with the kernels that ONNX Runtime chooses on this board, but for the
    layout of float convolutions: NCHWc pads channels to its block, so that MACs would depend on the width of the CPU's
    vectors. It changes no precision.
    """
    from ..onnxruntime_profile import read_layers, read_profile

    options = make_options(threads)
    options.enable_profiling = True
    # A kernel that packs its weights hides their shape from the profile. Packing comes after the choice of the kernels.
    options.add_session_config_entry("session.disable_prepacking", "1")
    with TemporaryFolder() as folder:
        options.profile_file_prefix = str(folder / "profile")
        session = _open(path, options, disabled_optimizers=["NchwcTransformer"])
        OnnxRuntimeSession(session, path).run(feeds)
        events = read_profile(Path(session.end_profiling()))
    return Placement(layers=read_layers(events))


def time_kernels(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], _build: Optional[BuildRequest] = None
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels that open_session runs, under ONNX Runtime's profiler, and the µs of each whole run."""
    from ..latency import Stopwatch  # here: it needs numpy, and a board without it must still say what it lacks
    from ..onnxruntime_profile import read_kernels, read_profile

    options = make_options(threads)
    options.enable_profiling = True
    with TemporaryFolder() as folder:
        options.profile_file_prefix = str(folder / "profile")
        native = _open(path, options)
        session, watch = OnnxRuntimeSession(native, path), Stopwatch()
        for run in range(_PROFILED_RUNS):
            if run >= _PROFILED_RUNS_MIN and watch.read_s() > _PROFILED_S:
                break
            session.run(feeds)
        events = read_profile(Path(native.end_profiling()))
    return read_kernels(events)


def measure_peaks(threads: int, copy_bytes: int) -> Peaks:
    """Return the best that this board does under ONNX Runtime."""
    from ..onnxruntime_peaks import measure_peaks as measure_roofs

    def open_bytes(model: bytes) -> Any:
        with TemporaryFolder() as folder:
            path = folder / "model.onnx"
            path.write_bytes(model)
            return _open(path, make_options(threads))

    return measure_roofs(open_bytes, threads, copy_bytes)

"""The one place in which the host opens ONNX models: to compute, to look inside, to take times, and as a board would."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.contents import compute_sha256
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.onnxruntime_profile import read_profile
from toolchain.agent.measure.runtimes.onnxruntime import PROVIDER, list_errors, make_options, read_spec
from toolchain.agent.measure.session import BuildRequest, Session, ShapeRange, open_session
from toolchain.agent.temporary import TemporaryFolder
from toolchain.errors import first_line, malformed, usage
from toolchain.graph.feeds import check_feeds
from toolchain.run.confine import inside

if TYPE_CHECKING:
    import onnx


# Opened from bytes, a model of 1 GB takes 4.3 GB with them, and from a file 1.3.
_FILE_MIN_BYTES = 64 * 2**20

# Of these a median ignores the first, slow ones.
_LEAST_RUNS = 5

# They match a written-out normalization through the Casts in it: 1.32 opens none that is float16 in part ("bound to
# different types"), and what they fuse is rounded nowhere.
_LOOKING_THROUGH_CASTS = ("LayerNormFusion", "LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion")

RUN = "a run of one sample"
"""The step that a run is, for whoever watches."""


class HostSession:
    """An ONNX model opened in ONNX Runtime on the CPU of this host; it may run in several threads at once."""

    def __init__(
        self,
        model: onnx.ModelProto | Path,
        *,
        threads: int = 1,
        fused: bool = True,
        integer_kernels: bool = False,
        rounds_between: bool = False,
        tensors: Sequence[str] | None = None,
        arena: bool = True,
    ) -> None:
        """Open the model.

        Args:
            model: In memory or a file.
            threads: Of one run.
            fused: Whether ONNX Runtime may optimize the graph.
            integer_kernels: Whether they may take the place of what stands between Q/DQ pairs. Without them that is
                computed in float32, as good as exactly: this machine's may saturate at 16 bits (x86 without VNNI).
            rounds_between: Whether results are rounded by Casts that no fusion may look through.
            tensors: What a run returns, in this order: inputs, inner tensors and outputs of the main graph; None for
                the outputs. They must be opened unfused to be what the graph says, node by node.
            arena: Whether ONNX Runtime keeps memory for its next run: what a caller keeps of a run lies in it, and with
                that all of it.

        Raises ToolchainError: exit 23 where ONNX Runtime refuses the model, 12 where an input or output is no tensor.
        ValueError for a tensor that the main graph lacks.
        """
        options = make_options(threads)
        if not fused:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if not integer_kernels:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.enable_cpu_mem_arena = arena
        where = str(model) if isinstance(model, Path) else None
        disabled = _LOOKING_THROUGH_CASTS if rounds_between else ()
        self._session = _open_model(_expose(model, tensors), options, where, disabled)
        self.inputs = _read_specs(self._session.get_inputs(), where)
        self.outputs = _read_specs(self._session.get_outputs(), where)
        returned = [spec.name for spec in self.outputs] if tensors is None else list(tensors)
        given = {spec.name for spec in self.inputs}
        self._returned = returned
        self._made = [name for name in returned if name not in given]

    def run(self, arrays: Mapping[str, NDArray[Any]], *, where: str | None = None) -> dict[str, NDArray[Any]]:
        """Return what the session was opened for, given one array per input; `where` says whose arrays they are.

        Raises ToolchainError (exit 2) where the arrays do not fit the inputs, and where the model fails on them.
        """
        check_feeds(self.inputs, arrays, where=where)
        try:
            with inside.step(RUN):
                made = self._session.run(self._made, dict(arrays)) if self._made else []
        except list_errors() as error:
            shapes = ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in arrays.items())
            raise usage(
                "the model fails on the samples",
                where=shapes if where is None else f"{where}: {shapes}",
                found=first_line(error),
                fix="give samples of the shapes that the model was made for",
            ) from error
        values = {**arrays, **dict(zip(self._made, map(np.asarray, made), strict=True))}
        return {name: values[name] for name in self._returned}


class BoardSession:
    """The agent's own session, of which each run is a step that a limit is for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.engine = session.engine
        self.inputs = session.inputs
        self.outputs = session.outputs

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return one array per output for one array per input."""
        with inside.step(RUN):
            return self._session.run(feeds)

    def close(self) -> None:
        """Give back what the session holds."""
        self._session.close()


def open_as_board(
    model: onnx.ModelProto | Path,
    *,
    threads: int,
    runtime: str = "onnxruntime",
    is_timed: bool = False,
    built_for: Mapping[str, NDArray[Any]] | None = None,
    engines: Path | None = None,
) -> Session:
    """Open a model with the agent's own session: what this machine runs as a board, with kernels and errors of there.

    is_timed: nothing of ours stands between the caller and a run. built_for: of a runtime that builds engines, arrays of
    the shapes to build for, and of a model that is tried and thrown away: its engine is kept in no cache but `engines`.
    """
    with TemporaryFolder() as folder, inside.step("opening the model"):
        path = model if isinstance(model, Path) else folder / "model.onnx"
        if not isinstance(model, Path):
            path.write_bytes(model.SerializeToString())
        build = None if built_for is None else request_trial_build(path, built_for, engines or folder)
        session = open_session(runtime, path, threads, build)
    return session if is_timed else BoardSession(session)


def request_trial_build(path: Path, arrays: Mapping[str, NDArray[Any]], engines: Path) -> BuildRequest:
    """Return how to build the engine of a file for arrays of these shapes, to be kept in a folder of the caller's."""
    shapes = {name: ShapeRange(array.shape, array.shape, array.shape) for name, array in arrays.items()}
    return BuildRequest(
        bundle_dir=path.parent, bundle_id=compute_sha256(path), shapes=shapes, spec=BuildSpec(), engines=engines
    )


def profile_runs(
    model: onnx.ModelProto, arrays: Mapping[str, NDArray[Any]], *, threads: int, runs: int, limit_s: float = math.inf
) -> list[dict[str, Any]]:
    """Return the events that ONNX Runtime's own profiler writes of so many runs, as a board runs the model.

    After `limit_s` seconds there may be fewer, but not under five.
    """
    options = make_options(threads)
    options.enable_profiling = True
    with TemporaryFolder() as folder:
        options.profile_file_prefix = str(folder / "profile")
        session = _open_model([model.SerializeToString()], options, None)
        end_s = time.monotonic() + limit_s
        for done in range(runs):
            if done >= _LEAST_RUNS and time.monotonic() > end_s:
                break
            session.run(None, dict(arrays))
        return read_profile(Path(session.end_profiling()))


def _expose(model: onnx.ModelProto | Path, tensors: Sequence[str] | None) -> str | list[bytes]:
    """Return what ONNX Runtime opens: the file, or the parts of the model's bytes with these tensors among its outputs."""
    if tensors is None:
        return str(model) if isinstance(model, Path) else [model.SerializeToString()]
    import onnx  # here, so that whoever opens a file is not kept waiting for it

    whole = onnx.load(model) if isinstance(model, Path) else model
    outputs = {value.name for value in whole.graph.output}
    inner = {name for node in whole.graph.node for name in node.output} - outputs
    unknown = sorted(set(tensors) - inner - outputs - {value.name for value in whole.graph.input})
    if unknown:
        raise ValueError(f"the graph has no tensor {unknown[0]!r}")
    extra = onnx.ModelProto()
    extra.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(tensors) if name in inner)
    # Serialized messages merge when concatenated (protobuf's encoding), which saves a copy of the weights.
    return [whole.SerializeToString(), extra.SerializeToString()]


def _open_model(
    source: str | list[bytes], options: Any, where: str | None, disabled_optimizers: Sequence[str] = ()
) -> Any:
    """Open a file, or a model's bytes: large ones from a file as well, and they are given back before."""
    if isinstance(source, str):
        return _open(source, options, where, disabled_optimizers)
    if sum(map(len, source)) < _FILE_MIN_BYTES:
        return _open(b"".join(source), options, where, disabled_optimizers)
    with TemporaryFolder() as folder:
        path = folder / "model.onnx"
        with path.open("wb") as file:
            file.writelines(source)
        source.clear()
        return _open(str(path), options, where, disabled_optimizers)


def _open(source: bytes | str, options: Any, where: str | None, disabled_optimizers: Sequence[str]) -> Any:
    try:
        with inside.step("opening the model"):
            return onnxruntime.InferenceSession(
                source, options, providers=[PROVIDER], disabled_optimizers=list(disabled_optimizers)
            )
    except list_errors() as error:
        raise malformed(
            "ONNX Runtime refuses the model",
            where=where,
            found=first_line(error),
            fix="use operators and types that ONNX Runtime has on the CPU: float32 where it has no float64",
        ) from error


def _read_specs(nodes: Sequence[Any], where: str | None) -> tuple[TensorSpec, ...]:
    return tuple(read_spec(node, where or "the model") for node in nodes)

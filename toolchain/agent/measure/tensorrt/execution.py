"""Runs an engine: host memory to host memory, through pinned buffers, as a CUDA graph once a shape repeats."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError
from ...manifest import TensorSpec
from ..session import EngineFacts, ShapeRange
from .buffers import Buffers
from .cuda import Cuda
from .logger import create_logger, read_last_error
from .profiles import is_within, read_range

# TensorRT's names of the types that numpy has.
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}

# Of a profile: in the first runs TensorRT prepares things, and clocks rise.
_WARM_UP_RUNS = 5

_Shapes = Dict[str, Tuple[int, ...]]


def deserialize(trt: Any, data: bytes, path: Path) -> Tuple[Any, Any, Any]:
    """Return (engine, runtime, logger) of the bytes of an engine that was checked against its pin before.

    Raises ToolchainError (exit 12) where TensorRT refuses it, as for another version or GPU.
    """
    logger = create_logger(trt)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "TensorRT cannot open the engine that was built here",
            where=str(path),
            found=read_last_error(logger),
            fix="was TensorRT or the driver changed without a new version? deploy the bundle again",
        )
    return engine, runtime, logger


class TensorRtSession:
    """An engine, ready to run. `close` gives everything back; so does a constructor that fails."""

    def __init__(self, trt: Any, cuda: Cuda, data: bytes, path: Path, facts: Optional[EngineFacts]) -> None:
        self._trt = trt
        self._cuda = cuda
        self._path = path
        self._facts = facts
        self._executable: Any = None
        self._profiler: Any = None
        self._graph: Optional[str] = None
        self._is_graph_refused = False
        self._shapes: _Shapes = {}
        self._is_warm = False
        with ExitStack() as stack:
            self._engine, self._runtime, self._logger = deserialize(trt, data, path)
            stack.callback(self._drop_engine)
            self.inputs, self.outputs = self._read_specs()
            self._limits = {spec.name: read_range(self._engine, spec.name) for spec in self.inputs}
            self._context = self._create_context()
            stack.callback(self._drop_context)
            self._stream = cuda.create_stream()
            stack.callback(cuda.destroy_stream, self._stream)
            most = {name: limits.most for name, limits in self._limits.items()}
            self._buffers = Buffers(cuda, self._count_bytes(self._set_shapes(most)), stack)
            for name in most.keys() | {spec.name for spec in self.outputs}:
                self._require(self._context.set_tensor_address(name, self._buffers.find_address(name)), name)
            stack.callback(self._drop_graph)
            self._resources = stack.pop_all()

    @property
    def engine(self) -> Optional[EngineFacts]:
        """What was built, and whether the runs so far went through a CUDA graph; None of an engine that is opened by its bytes."""
        return None if self._facts is None else replace(self._facts, cuda_graph=self._graph)

    def close(self) -> None:
        """Give back all memory of the GPU and the host."""
        self._resources.close()

    def inspect(self) -> str:
        """Return the engine inspector's JSON of all layers."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def profile(self, feeds: Mapping[str, NDArray[np.generic]], runs: int) -> List[Dict[str, float]]:
        """Return the time of each kernel in ms, by its name, in each of so many runs, after some that warm up at first.

        The session is good for nothing else then: a profiler makes it slower, and a CUDA graph has none.
        """
        self._is_graph_refused = True
        self._graph = "not captured: it is profiled"
        if self._profiler is None:
            from .profiler import (
                create_profiler,  # no application profiles: its wheel leaves it out (app/agent_files.py)
            )

            self._profiler = create_profiler(self._trt)
            self._context.profiler = self._profiler
            for _ in range(_WARM_UP_RUNS):
                self.run(feeds)
        found: List[Dict[str, float]] = []
        for _ in range(runs):
            self._profiler.kernels_ms = {}
            self.run(feeds)
            found.append(self._profiler.kernels_ms)
        return found

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output; raises ToolchainError (exit 23) for feeds outside of what the engine takes."""
        self._check_feeds(feeds)
        shapes = {spec.name: tuple(feeds[spec.name].shape) for spec in self.inputs}
        if shapes != {name: self._shapes.get(name) for name in shapes}:
            self._drop_graph()
            self._is_warm = False
            self._shapes = {}  # should the next line fail, no shape is taken for set
            self._shapes = self._set_shapes(shapes)
        for spec in self.inputs:
            self._buffers.write(spec.name, feeds[spec.name])
        self._execute()
        return {spec.name: self._buffers.read(spec.name, spec.dtype, self._shapes[spec.name]) for spec in self.outputs}

    def _execute(self) -> None:
        # The first run of a shape is no graph: TensorRT prepares things then that a graph cannot hold.
        if self._executable is None and self._is_warm and not self._is_graph_refused:
            try:
                self._capture()
                self._graph = "captured"
            except ToolchainError as error:  # it runs without; what is broken beyond that, the next calls say
                self._is_graph_refused = True
                self._graph = f"not captured: {error.found or error.what}"
        if self._executable is None:
            self._enqueue()
        else:
            self._cuda.launch(self._executable, self._stream)
        self._cuda.synchronize(self._stream)
        self._is_warm = True

    def _enqueue(self) -> None:
        sizes = self._count_bytes(self._shapes)
        for spec in self.inputs:
            self._buffers.copy_to_device(spec.name, sizes[spec.name], self._stream)
        self._require(self._context.execute_async_v3(int(self._stream)), "execute_async_v3")
        for spec in self.outputs:
            self._buffers.copy_to_host(spec.name, sizes[spec.name], self._stream)

    def _capture(self) -> None:
        with ExitStack() as stack:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue()
            finally:
                graph = self._cuda.end_capture(self._stream)
                stack.callback(self._cuda.destroy_graph, graph)
            self._executable = self._cuda.instantiate(graph)

    def _drop_graph(self) -> None:
        if self._executable is not None:
            executable, self._executable = self._executable, None
            self._cuda.destroy_executable(executable)

    def _drop_context(self) -> None:
        self._context = None

    def _drop_engine(self) -> None:
        # The engine before its runtime, the runtime before its logger.
        self._engine = None
        self._runtime = None
        self._logger = None

    def _create_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise ToolchainError(
                ExitCode.INCOMPATIBLE,
                "TensorRT cannot prepare the engine to run",
                where=str(self._path),
                found=read_last_error(self._logger),
                fix="stop what else uses the GPU's memory",
            )
        return context

    def _read_specs(self) -> Tuple[Tuple[TensorSpec, ...], Tuple[TensorSpec, ...]]:
        engine, trt = self._engine, self._trt
        specs: Dict[Any, Any] = {trt.TensorIOMode.INPUT: [], trt.TensorIOMode.OUTPUT: []}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            dtype = engine.get_tensor_dtype(name).name
            if dtype not in DTYPES or engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise ToolchainError(
                    ExitCode.INCOMPATIBLE,
                    "the engine has an input or output that this agent cannot feed",
                    where=f"{self._path}: {name}",
                    expected=f"data of the types {', '.join(sorted(DTYPES.values()))} on the GPU",
                    found=f"{dtype} in {engine.get_tensor_location(name).name} memory",
                    fix="export the model with plain arrays as inputs and outputs, and its shapes as constants",
                )
            shape = tuple(None if length < 0 else length for length in engine.get_tensor_shape(name))
            specs[engine.get_tensor_mode(name)].append(TensorSpec(name=name, dtype=DTYPES[dtype], shape=shape))
        return tuple(specs[trt.TensorIOMode.INPUT]), tuple(specs[trt.TensorIOMode.OUTPUT])

    def _set_shapes(self, shapes: Mapping[str, Tuple[int, ...]]) -> _Shapes:
        """Set the shapes of the inputs; return those of all tensors."""
        found: _Shapes = dict(shapes)
        for name, shape in shapes.items():
            self._require(self._context.set_input_shape(name, shape), f"set_input_shape {name}")
        for spec in self.outputs:
            found[spec.name] = tuple(self._context.get_tensor_shape(spec.name))
            if any(length < 0 for length in found[spec.name]):
                raise ToolchainError(
                    ExitCode.INCOMPATIBLE,
                    "the shape of an output depends on the data",
                    where=f"{self._path}: {spec.name}",
                    expected="a shape that follows from those of the inputs",
                    found=str(found[spec.name]),
                    fix="leave NonMaxSuppression, NonZero and the like out of the model",
                )
        return found

    def _count_bytes(self, shapes: Mapping[str, Tuple[int, ...]]) -> Dict[str, int]:
        return {
            spec.name: np.dtype(spec.dtype).itemsize * int(np.prod(shapes[spec.name], dtype=np.int64))
            for spec in (*self.inputs, *self.outputs)
        }

    def _check_feeds(self, feeds: Mapping[str, NDArray[np.generic]]) -> None:
        if set(feeds) != set(self._limits):
            raise self._refuse("inputs", ", ".join(sorted(self._limits)), ", ".join(sorted(feeds)) or "none")
        for spec in self.inputs:
            array, limits = feeds[spec.name], self._limits[spec.name]
            if array.dtype != np.dtype(spec.dtype):
                raise self._refuse(f"input {spec.name}", spec.dtype, str(array.dtype))
            if not is_within(array.shape, limits):
                raise self._refuse(f"input {spec.name}", _describe_range(limits), str(array.shape))

    def _refuse(self, where: str, expected: str, found: str) -> ToolchainError:
        what = "the engine does not take this data"
        fix = "feed what the engine was built for, or deploy again with data of these shapes"
        return ToolchainError(
            ExitCode.MALFORMED, what, where=f"{self._path}: {where}", expected=expected, found=found, fix=fix
        )

    def _require(self, done: object, call: str) -> None:
        if not done:
            found = read_last_error(self._logger)
            raise ToolchainError(
                ExitCode.UNEXPECTED,
                "a TensorRT call failed",
                where=f"{self._path}: {call}",
                found=found,
                fix="stop what else uses the GPU and try again; if it comes back, reboot the board",
            )


def _describe_range(limits: ShapeRange) -> str:
    if limits.least == limits.most:
        return str(limits.least)
    return f"shapes from {limits.least} to {limits.most}, the optimization profile of the engine"

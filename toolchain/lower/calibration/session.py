"""Runs a model so that inner tensors come out, and refuses calibration data that does not fit its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from toolchain.errors import first_line, malformed, usage

# ONNX Runtime's exceptions have no common base; these are the ones that a model or its data can cause.
_SESSION_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})

Batch = Mapping[str, NDArray[Any]]


class TensorSession:
    """An opened model that returns chosen tensors; it may run in several threads at once, one thread a run.

    Raises ValueError for a tensor that is no float tensor of the main graph.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], *, optimize: bool) -> None:
        graph = model.graph
        made = {name for node in graph.node for name in node.output}
        given = {value.name for value in graph.input}
        unknown = sorted(set(tensors) - made - given)
        if unknown:
            raise ValueError(f"the graph has no tensor {unknown[0]!r}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several runs at once fill the CPU better than one run on several threads
        options.log_severity_level = 3
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        exposed = {value.name for value in graph.output}
        extra = onnx.ModelProto()
        extra.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name in made - exposed)
        # Serialized messages merge when concatenated (protobuf's encoding), which saves a copy of the weights.
        content = model.SerializeToString() + extra.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _SESSION_ERRORS as error:
            raise malformed("ONNX Runtime does not open the model", found=first_line(error)) from error
        types = {value.name: value.type for value in (*self._session.get_inputs(), *self._session.get_outputs())}
        for name in tensors:
            if types.get(name) not in _FLOATS:
                raise ValueError(f"tensor {name!r} has no range: it is {types.get(name)}, not a float tensor")
        self._inputs = {value.name: value for value in self._session.get_inputs()}
        self._given = [name for name in tensors if name in given]
        self._made = [name for name in tensors if name in made]

    def run(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """Return the chosen tensors for one batch."""
        try:
            values = self._session.run(self._made, dict(batch)) if self._made else []
        except _SESSION_ERRORS as error:
            raise usage("the model does not run on the calibration data", found=first_line(error)) from error
        return {name: batch[name] for name in self._given} | dict(zip(self._made, values, strict=True))

    def check(self, batch: Batch, index: int) -> None:
        """Raise the usage error for a batch that does not fit the model's inputs: names, dtypes, shapes."""
        where = f"batch {index}"
        names = sorted(self._inputs)
        for name in sorted({*batch} ^ {*names}):
            problem = "lacks an input" if name in self._inputs else "has an input that the model lacks"
            raise usage(
                f"the calibration data {problem}: {name}", where=where, expected=str(names), found=str(sorted(batch))
            )
        for name, value in self._inputs.items():
            array = batch[name]
            expected = _DTYPES.get(value.type, value.type)
            if str(array.dtype) != expected:
                raise usage(
                    f"the calibration data has a wrong dtype for input {name}",
                    where=where,
                    expected=expected,
                    found=str(array.dtype),
                    fix=f"convert the array to {expected}",
                )
            if not _fits(array, value.shape) or array.shape[:1] == (0,):
                raise usage(
                    f"the calibration data has a wrong shape for input {name}",
                    where=where,
                    expected=_describe(value.shape),
                    found=str(array.shape),
                )


def _fits(array: NDArray[Any], shape: Sequence[int | str | None]) -> bool:
    """Return whether an array has a shape in which names and None stand for any length."""
    return array.ndim == len(shape) and all(
        not isinstance(axis, int) or axis == length for axis, length in zip(shape, array.shape, strict=True)
    )


def _describe(shape: Sequence[int | str | None]) -> str:
    return "(" + ", ".join("any" if axis is None else str(axis) for axis in shape) + "), at least one sample"

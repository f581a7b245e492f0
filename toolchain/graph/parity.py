"""Parity of two float models on the host: an export with its module, a rewritten graph with the one before."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from toolchain.agent.measure.parity import Parity
from toolchain.errors import ExitCode, ToolchainError, first_line, malformed, usage
from toolchain.graph.float_outputs import FloatOutputs

Outputs = dict[str, NDArray[Any]]

# Least SQNR in dB by the output's dtype. Two right float32 graphs differ in the order of sums: 105 to 140 dB on the
# models tried; a wrong padding, epsilon or axis stays below 60 dB. float16 has 13 bits (78 dB) less, of which sums in
# float32 win back about half. Other dtypes must be equal.
SQNR_DB_MIN: Mapping[str, float] = types.MappingProxyType({"float64": 80.0, "float32": 80.0, "float16": 40.0})


class FloatSession:
    """An ONNX model opened in ONNX Runtime on the CPU of this host; between Q/DQ pairs it computes in float32."""

    def __init__(self, model: onnx.ModelProto | Path, *, threads: int = 1, fused: bool = True) -> None:
        """Open the model, with or without ONNX Runtime's graph optimizations.

        Raises ToolchainError (exit 23) where ONNX Runtime refuses it.
        """
        options = ort.SessionOptions()
        if not fused:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The pairs stay what they are, no integer kernel takes their place.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # fatal: everything else comes back as an exception
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise malformed(
                "ONNX Runtime refuses the model",
                where=str(model) if isinstance(model, Path) else None,
                found=first_line(error),
                fix="use operators and types that ONNX Runtime has on the CPU: float32 where it has no float64",
            ) from error
        self.inputs = {value.name: value for value in self._session.get_inputs()}
        self.output_names = tuple(value.name for value in self._session.get_outputs())

    def run(self, batch: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the outputs; raises ToolchainError (exit 2) where the batch does not fit the inputs."""
        self._check_batch(batch)
        feeds = {name: batch[name] for name in self.inputs}
        try:
            arrays = self._session.run(list(self.output_names), feeds)
        except Exception as error:  # its exceptions have no common base
            shapes = ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in feeds.items())
            raise usage(
                "the model fails on the samples",
                where=shapes,
                found=first_line(error),
                fix="give samples of the shapes that the model was made for",
            ) from error
        return dict(zip(self.output_names, map(np.asarray, arrays), strict=True))

    def _check_batch(self, batch: Mapping[str, NDArray[Any]]) -> None:
        if set(batch) != set(self.inputs):
            raise usage(
                "the samples are not the model's inputs", expected=", ".join(self.inputs), found=", ".join(batch)
            )
        for name, value in self.inputs.items():
            array = batch[name]
            dtype, shape = _NUMPY_DTYPES.get(value.type, value.type), value.shape
            if array.dtype != dtype:
                raise usage(
                    "a sample has the wrong dtype", where=f"input {name}", expected=dtype, found=str(array.dtype)
                )
            # A symbolic axis is a string or None.
            fits = len(array.shape) == len(shape) and all(
                not isinstance(expected, int) or expected == found
                for expected, found in zip(shape, array.shape, strict=False)
            )
            if not fits:
                raise usage(
                    "a sample has the wrong shape", where=f"input {name}", expected=str(shape), found=str(array.shape)
                )


_NUMPY_DTYPES: Mapping[str, str] = types.MappingProxyType(
    {
        "tensor(float)": "float32",
        "tensor(double)": "float64",
        "tensor(float16)": "float16",
        "tensor(bool)": "bool",
        **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
        "tensor(string)": "object",
    }
)


def check_float_parity(
    what: str,
    pairs: Iterable[tuple[Outputs, Outputs]],
    *,
    sqnr_db_min: Mapping[str, float] = types.MappingProxyType({}),
    per_sample: bool = False,
    fix: str = "report it with the model: this step may change nothing that the model computes",
) -> dict[str, float]:
    """Compare the reference's outputs with the others', batch by batch; return the SQNR of each output in dB.

    200 dB stands for equal. `sqnr_db_min` takes the place of SQNR_DB_MIN for the outputs that it names; per_sample: the
    first axis of every output is that of samples, by which a NaN is named. Raises ToolchainError (exit 18), with `what`
    as its first words: an output is missing, extra, of another dtype or shape; the reference has a NaN, or nothing
    finite in an output; a value is NaN or infinite and not the same in both; floating-point values differ by more than
    rounding, others at all. Exit 2 where there are no samples.
    """
    parity = Parity()
    references = FloatOutputs(what)
    dtypes: dict[str, np.dtype[Any]] = {}
    for run, (reference, deployed) in enumerate(pairs):
        references.add(reference, first_sample=run, per_sample=per_sample)
        parity.add(reference, deployed)
        dtypes = {name: array.dtype for name, array in reference.items()}
    if not dtypes:
        raise usage(f"{what}: there are no samples to compare on", expected="at least one batch")
    references.finish()
    distances = {distance.output: distance for distance in parity.summarize()}
    for name, distance in distances.items():
        limit_db = sqnr_db_min.get(name, SQNR_DB_MIN.get(str(dtypes[name])))
        if distance.nonfinite:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output is not finite where the reference is, or the other way round",
                f"output {name}",
                "finite values, and infinities where the reference has the same",
                f"{distance.nonfinite} NaN or infinite on one side",
                fix,
            )
        if limit_db is None and distance.max_abs > 0:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output differs",
                f"output {name}",
                f"equal {dtypes[name]} values",
                f"a difference of {distance.max_abs:g}",
                fix,
            )
        if limit_db is not None and distance.sqnr_db < limit_db:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output differs by more than rounding",
                f"output {name}",
                f"an SQNR of at least {limit_db:.1f} dB",
                f"{distance.sqnr_db:.1f} dB",
                fix,
            )
    return {name: distance.sqnr_db for name, distance in distances.items()}

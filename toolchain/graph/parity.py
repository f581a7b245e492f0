"""Parity of two float models on the host: an export with its module, a rewritten graph with the one before."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.parity import Parity
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.graph.float_outputs import FloatOutputs

Outputs = dict[str, NDArray[Any]]

# Least SQNR in dB by the output's dtype. Two right float32 graphs differ in the order of sums: 105 to 140 dB on the
# models tried; a wrong padding, epsilon or axis stays below 60 dB. float16 has 13 bits (78 dB) less, of which sums in
# float32 win back about half. Other dtypes must be equal.
SQNR_DB_MIN: Mapping[str, float] = types.MappingProxyType({"float64": 80.0, "float32": 80.0, "float16": 40.0})


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
        raise usage(
            f"{what}: there are no samples to compare on",
            expected="at least one batch",
            fix="check the data that [data] of the recipe names: they are empty",
        )
    references.finish()
    distances = {distance.output: distance for distance in parity.summarize()}
    for name, distance in distances.items():
        limit_db = sqnr_db_min.get(name, SQNR_DB_MIN.get(str(dtypes[name])))
        if distance.nonfinite:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output is not finite where the reference is, or the other way round",
                where=f"output {name}",
                expected="finite values, and infinities where the reference has the same",
                found=f"{distance.nonfinite} NaN or infinite on one side",
                fix=fix,
            )
        if limit_db is None and distance.max_abs > 0:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output differs",
                where=f"output {name}",
                expected=f"equal {dtypes[name]} values",
                found=f"a difference of {distance.max_abs:g}",
                fix=fix,
            )
        if limit_db is not None and distance.sqnr_db < limit_db:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{what}: the output differs by more than rounding",
                where=f"output {name}",
                expected=f"an SQNR of at least {limit_db:.1f} dB",
                found=f"{distance.sqnr_db:.1f} dB",
                fix=fix,
            )
    return {name: distance.sqnr_db for name, distance in distances.items()}

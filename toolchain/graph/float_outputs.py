"""What a float model may return on real samples: no NaN, and in every output something that can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ExitCode, ToolchainError


class FloatOutputs:
    """Looks at the outputs of a float model, run by run. Infinities are kept: masked logits are -inf on purpose."""

    def __init__(self, what: str) -> None:
        """`what` are the first words of an error: who runs the model."""
        self._what = what
        self._measurable: dict[str, bool] = {}

    def add(self, outputs: Mapping[str, NDArray[Any]], *, first_sample: int, per_sample: bool = False) -> None:
        """Look at one run; per_sample: the first axis of its outputs is that of samples.

        Raises ToolchainError (exit 18) that names the output and the sample with a NaN.
        """
        for name, array in outputs.items():
            if array.dtype.kind not in "fV":  # V: numpy's kind of bfloat16
                continue
            values = array.astype(np.float32) if array.dtype.kind == "V" else array
            broken = np.isnan(values)
            if broken.any():
                inside = int(np.argwhere(broken)[0][0]) if per_sample and array.ndim else 0
                raise ToolchainError(
                    ExitCode.PARITY,
                    f"{self._what}: the model's own output is not a number",
                    where=f"output {name}, sample {first_sample + inside}",
                    expected="numbers on real samples; infinities may be among them",
                    found=f"{np.count_nonzero(broken)} of {array.size} NaN",
                    fix="check the weights, and that the samples are scaled as in training",
                )
            if array.size:
                self._measurable[name] = self._measurable.get(name, False) or bool(np.isfinite(values).any())

    def finish(self) -> None:
        """Refuse (exit 18) an output that was infinite everywhere: equal infinities prove nothing."""
        empty = next((name for name, found in self._measurable.items() if not found), None)
        if empty is not None:
            raise ToolchainError(
                ExitCode.PARITY,
                f"{self._what}: an output of the model is infinite everywhere",
                where=f"output {empty}",
                expected="finite values among the infinite ones, or nothing can be compared",
                found="none on any sample",
                fix="check the weights and the mask, or leave the output out of the model",
            )

"""The float model that int8 is made from: the user's own, or where that is in float16 the same in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from toolchain.graph.parity import SQNR_DB_MIN, check_float_parity
from toolchain.graph.session import HostSession
from toolchain.lower.float32_inside import find_obstacle, list_halves, widen_to_float32
from toolchain.lower.trial import Arrays

# Samples on which the widened model is compared with what it was, as every pass is (stages/run.py).
_SAMPLES = 16


@dataclass(frozen=True)
class Widened:
    """A model to lower, and what is to be said of it."""

    model: onnx.ModelProto
    notes: tuple[str, ...] = ()


def widen(model: onnx.ModelProto, feeds: Sequence[Arrays]) -> Widened:
    """Return the model computing in float32, with a note where it did in 16-bit floats; itself where it did not.

    Raises ToolchainError (exit 18) where the two differ by more than float16 rounds.
    """
    halves = list_halves(model)
    if not halves:
        return Widened(model)
    kinds = " and ".join(halves)
    obstacle = find_obstacle(model)
    if obstacle is not None:
        return Widened(model, (f"the model's {kinds} was not widened to float32: {obstacle}",))
    result = widen_to_float32(model)
    before, after = HostSession(model), HostSession(result)
    pairs = [(before.run(feed), after.run(feed)) for feed in feeds[:_SAMPLES]]
    # Integers, as the class of the largest score, may turn with the last bit; the gate of int8 judges them.
    limits = {
        name: SQNR_DB_MIN["float16"] if array.dtype.kind == "f" else -200.0 for name, array in pairs[0][0].items()
    }
    check_float_parity(f"widening {kinds} to float32", pairs, sqnr_db_min=limits)
    return Widened(
        result, (f"the model's {kinds} was widened to float32 before int8; inputs and outputs keep their types",)
    )

"""Optimization profiles: the shapes that an engine with dynamic axes is built for, and the check that data keeps to them."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ...errors import ExitCode, ToolchainError
from ..session import ShapeRange


def add_profile(builder: Any, network: Any, config: Any, shapes: Mapping[str, ShapeRange]) -> None:
    """State the shapes of the inputs with dynamic axes.

    Raises ToolchainError: exit 12 for a dynamic input without shapes, 23 for shapes that contradict the model's.
    """
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    dynamic = [tensor for tensor in inputs if any(length < 0 for length in tensor.shape)]
    if not dynamic:
        return
    profile = builder.create_optimization_profile()
    for tensor in dynamic:
        found = tuple(tensor.shape)
        if tensor.name not in shapes:
            raise ToolchainError(
                ExitCode.INCOMPATIBLE,
                "an input has a dynamic shape and no profile",
                where=f"input {tensor.name}",
                expected="the shapes that it will have",
                found=str(found),
                fix="deploy with data for this input, or export the model with fixed shapes",
            )
        wanted = shapes[tensor.name]
        _check_fits(tensor.name, found, wanted)
        profile.set_shape(tensor.name, wanted.least, wanted.usual, wanted.most)
    config.add_optimization_profile(profile)


def _check_fits(name: str, shape: Sequence[int], wanted: ShapeRange) -> None:
    for lengths in (wanted.least, wanted.usual, wanted.most):
        fits = len(lengths) == len(shape) and all(
            fixed in (-1, length)
            for fixed, length in zip(shape, lengths)  # noqa: B905 - Python 3.8 has no strict
        )
        if not fits:
            what = "the shapes of the data are not those of the model"
            raise ToolchainError(
                ExitCode.MALFORMED,
                what,
                where=f"input {name}",
                expected=str(tuple(shape)),
                found=str(lengths),
                fix="give data of that shape, or export the model with a dynamic axis (-1) there",
            )


def read_range(engine: Any, name: str) -> ShapeRange:
    """Return the shapes that the engine takes for an input: its own where it is fixed, else those of its one profile."""
    fixed = tuple(engine.get_tensor_shape(name))
    if all(length >= 0 for length in fixed):
        return ShapeRange(least=fixed, usual=fixed, most=fixed)
    least, usual, most = (tuple(dims) for dims in engine.get_tensor_profile_shape(name, 0))
    return ShapeRange(least=least, usual=usual, most=most)


def is_within(shape: Sequence[int], limits: ShapeRange) -> bool:
    """Return whether an engine takes data of this shape."""
    return len(shape) == len(limits.least) and all(
        low <= length <= high
        for low, length, high in zip(limits.least, shape, limits.most)  # noqa: B905 - Python 3.8 has no strict
    )

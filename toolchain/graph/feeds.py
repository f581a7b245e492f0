"""Whether named arrays are what a model takes: the names, dtypes and shapes of its inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from toolchain.agent.manifest import TensorSpec
from toolchain.errors import usage


def check_names(inputs: Sequence[TensorSpec], found: Collection[str], *, where: str | None = None) -> None:
    """Refuse (exit 2) names of arrays that are not those of the inputs."""
    wanted = [spec.name for spec in inputs]
    if set(found) == set(wanted):
        return
    lacking, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    parts = [f"there is none for {', '.join(lacking)}"] if lacking else []
    parts += [f"nothing reads {', '.join(extra)}"] if extra else []
    raise usage(
        f"the arrays are not the model's inputs: {'; '.join(parts)}",
        where=where,
        expected=", ".join(sorted(wanted)) or "none",
        found=", ".join(sorted(found)) or "none",
        fix=_suggest_names(list(found), wanted),
    )


def check_feeds(inputs: Sequence[TensorSpec], arrays: Mapping[str, NDArray[Any]], *, where: str | None = None) -> None:
    """Refuse (exit 2) arrays of other names, of another dtype, or of a shape that the model cannot take.

    `where` says whose arrays they are.
    """
    check_names(inputs, arrays, where=where)
    for spec in inputs:
        array = arrays[spec.name]
        # By name: of some types, as bfloat16, numpy knows no more.
        if str(array.dtype) != spec.dtype:
            raise usage(
                f"the array for input {spec.name} has the wrong dtype",
                where=where,
                expected=spec.dtype,
                found=str(array.dtype),
                fix=f"convert the array: array.astype({spec.dtype!r})",
            )
        if not spec.takes(array.shape):
            raise usage(
                f"the array for input {spec.name} has the wrong shape",
                where=where,
                expected=f"({', '.join('any' if size is None else str(size) for size in spec.shape)})",
                found=str(array.shape),
                fix="give samples as the model takes them, one along the first axis of the array each",
            )


def _suggest_names(found: Sequence[str], wanted: Sequence[str]) -> str:
    if len(found) == len(wanted) == 1:
        return (
            f"if this is its input, write the array under the input's name: numpy.savez(path, **{{{wanted[0]!r}: …}})"
        )
    return "give one array per input, under the input's name, and no others"

"""What `init` was given and found in it: the model's side of a recipe, and what the data must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

WEIGHTS = "weights.safetensors"
"""Of a model that is built, in its folder."""

Axes = tuple[int | str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output; axes are lengths, names of lengths, or None; None as a whole is not known."""

    name: str
    dtype: str
    axes: Axes | None

    def __str__(self) -> str:
        axes = "of unknown shape" if self.axes is None else f"({', '.join(str(axis or '?') for axis in self.axes)})"
        return f"{self.name} {self.dtype} {axes}"


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A model that somebody has, as far as it tells about itself."""

    model: Mapping[str, object]
    """The table [model] of the recipe."""
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    """What goes into the model's folder, by name: content, or a file to copy."""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    said: tuple[str, ...] = ()
    """What was found and guessed, a sentence each."""
    missing: tuple[str, ...] = ()
    """What only the user can do, a sentence each."""

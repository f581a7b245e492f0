"""What a search is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.agent.measure.settings import MeasureSettings
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target


@dataclass(frozen=True)
class SearchRequest:
    """What to search, and where the results go."""

    recipe: Recipe
    target: Target
    trials: int
    """Of all workers together; those of an earlier run count."""
    storage: str | None
    """None keeps the trials in OUT/search.journal."""
    out: Path
    settings: MeasureSettings

"""What a lowering is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.agent.manifest import Precision
from toolchain.agent.measure.facts import Facts
from toolchain.lower.task_trial import Task
from toolchain.lower.trial import Arrays
from toolchain.project.recipe import QuantizeSection
from toolchain.project.target import Target

StartSteps = Callable[[str, int], Callable[[], None]]
"""Given what is done and in how many steps, returns what to call after each step."""


@dataclass(frozen=True)
class LowerRequest:
    """What to lower, for which target, judged by which data."""

    model: Path
    """An optimized float ONNX file."""
    exported: Path
    """What it was optimized from: the user's own graph."""
    target: Target
    precision: Precision
    facts: Facts
    """Of the board, or of this machine where it stands in for its class."""
    feeds: Sequence[Arrays]
    """The calibration set, one run each."""
    options: QuantizeSection
    sqnr_db_min: Mapping[str, float]
    """By precision; the agent's defaults where the recipe says nothing."""
    task: Task | None = None
    """What decides about int8 in the place of SQNR, where the recipe asks for it."""


Lowering = Callable[[LowerRequest, Path, StartSteps], dict[str, Any]]
"""Writes model.onnx into a folder and returns what lowering.json says of it."""

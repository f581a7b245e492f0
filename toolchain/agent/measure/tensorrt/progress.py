"""Tells how far a build is, and ends it at its time limit."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from ..latency import Stopwatch

OnSteps = Callable[[int, int], None]
"""Gets what is done, and the total."""


def create_monitor(trt: Any, stopwatch: Stopwatch, limit_s: float, on_steps: Optional[OnSteps]) -> Any:
    """Return an IProgressMonitor; TensorRT calls it from threads of its own.

    It has `timed_out`, whether it ended the build. An exception in a callback would be lost in TensorRT: none is raised.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # trt is Any: the module may be missing on the host
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.timed_out = False
            self._steps: Dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            if parent_phase is None:  # the phases within it have steps of their own, of any length
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            total = self._steps.get(phase_name)
            if total and on_steps is not None:
                on_steps(min(step + 1, total), total)
            self.timed_out = self.timed_out or stopwatch.read_s() > limit_s
            return not self.timed_out

        def phase_finish(self, phase_name: str) -> None:
            total = self._steps.pop(phase_name, None)
            if total and on_steps is not None:
                on_steps(total, total)

    return Monitor()

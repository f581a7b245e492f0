"""What a trial is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scale import Scale
from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.shape import Report

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Objectives:
    """What a trial is judged by: the task metric, the file's size, and how much faster than the float model it is."""

    metric: str
    """The task metric by name."""
    emulated: bool
    """Then there is no latency, and two objectives are left."""

    @property
    def scale(self) -> Scale:
        return find_metric(self.metric).SCALE

    @property
    def directions(self) -> list[Direction]:
        metric: Direction = "maximize" if self.scale.direction == "higher" else "minimize"
        return [metric, "minimize"] if self.emulated else [metric, "minimize", "maximize"]

    def read_report(self, report: Report) -> dict[str, Any]:
        """Return what is kept of a trial's report.

        Raises ToolchainError (exit 20) where the run measured less than that.
        """
        metric, artifact, original, latency = (
            report["metric"],
            report["artifact"],
            report["original"],
            report["latency"],
        )
        speedup = None if latency is None else latency["speedup"]
        if metric is None or artifact is None or original is None or (speedup is None and not self.emulated):
            reasons = "; ".join(report["reasons"]) or "no reason was given"
            raise ToolchainError(
                ExitCode(report["exit_code"] or ExitCode.INVALID),
                "the trial was not measured to its end",
                found=reasons,
                fix="read report.html in the trial's folder",
            )
        return {
            "verdict": report["verdict"],
            "exit_code": report["exit_code"],
            "reasons": report["reasons"],
            "metric": metric["deployed"],
            "reference": metric["reference"],
            "drop": metric["drop"],
            "unit": metric["unit"],
            "size_bytes": artifact["size_bytes"],
            "size_ratio": original["size_bytes"] / artifact["size_bytes"],
            "speedup": None if self.emulated else speedup,
        }

    def list_values(self, record: Mapping[str, Any]) -> list[float]:
        """Return the values of a complete trial, in the order of the directions."""
        return [record["metric"], record["size_bytes"], *([] if self.emulated else [record["speedup"]])]

    def list_costs(self, record: Mapping[str, Any]) -> list[float]:
        """Return the same, each smaller is better."""
        signs = [-1 if direction == "maximize" else 1 for direction in self.directions]
        return [sign * value for sign, value in zip(signs, self.list_values(record), strict=True)]

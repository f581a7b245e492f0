"""Compares two reports of like runs, and says whether the second may take the place of the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from toolchain.agent.bundle_files import MANIFEST_NAME
from toolchain.agent.measure.quantities import ABSENT, write_difference, write_value
from toolchain.errors import ExitCode, usage
from toolchain.report.quantities import write_size, write_size_change
from toolchain.report.read import REPORT_NAME, read_report
from toolchain.report.shape import Report
from toolchain.run.screen import Screen

_DEVICE = ("arch", "cpu", "cpu_features", "os", "runtime", "runtime_version", "threads", "accelerator", "details")
_EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """By how much the second may be worse than the first."""

    metric_drop_max: float = 0.0
    """In the unit of the metric."""
    slowdown_max: float = 1.05
    """p50 of the second over that of the first: two runs at two times, of which a machine's mood is a few per cent."""
    size_growth_max: float = 1.05


def _find_report(path: Path) -> Path | None:
    """Return the report that a path names: a JSON file, or a folder with a report and no bundle of its own; else None."""
    if path.suffix == ".json" and not path.is_dir():
        return path
    report = path / REPORT_NAME
    return report if report.is_file() and not (path / MANIFEST_NAME).is_file() else None


def compare_reports(a: Path, b: Path, *, limits: Limits | None) -> dict[str, Any]:
    """Return the rows of both, and with limits whether B passes them: `passed`, `exit_code` and the `reasons`.

    Raises ToolchainError (exit 2): the reports are of other devices, data or settings; the field is named.
    """
    first, second = read_report(a), read_report(b)
    _check_alike(a, b, first, second)
    rows = [
        _compare("verdict", None, first["verdict"], second["verdict"]),
        _compare("precision", None, first["precision"], second["precision"]),
        _compare("metric", _read_unit(first, second), *(_read(it, "metric", "deployed") for it in (first, second))),
        _compare("p50", "ms", *(_read(it, "latency", "deployed", "p50_ms") for it in (first, second))),
        _compare("speedup over float", "x", *(_read(it, "latency", "speedup") for it in (first, second))),
        _compare("size", "B", *(_read(it, "artifact", "size_bytes") for it in (first, second))),
    ]
    found: dict[str, Any] = {"a": str(a), "b": str(b), "rows": rows}
    if limits is None:
        return found
    failures = list(_judge(first, second, limits))
    exit_code = failures[0][0] if failures else ExitCode.PROVEN
    return {**found, "passed": not failures, "exit_code": int(exit_code), "reasons": [text for _, text in failures]}


def print_reports(found: Mapping[str, Any], *, stream: TextIO) -> None:
    """Print the rows as a table, and what failed below."""
    screen = Screen(stream)
    rows = [
        [row["name"], *(_write(row["unit"], row[side]) for side in ("a", "b")), _write_change(row)]
        for row in found["rows"]
    ]
    screen.plain_table(("", "A", "B", "change"), rows)
    if "passed" in found:
        screen.line(
            "PASS  B is not worse than A" if found["passed"] else f"FAIL  B is worse (exit {found['exit_code']})"
        )
        for reason in found["reasons"]:
            screen.line(f"      {reason}")


def _check_alike(a: Path, b: Path, first: Report, second: Report) -> None:
    for (field, one), (_, other) in zip(_list_fields(first), _list_fields(second), strict=True):
        if one is None and field in _DEMANDED:
            what, found = "a report does not say what it was measured on", f"no {field} in {a}"
        elif one != other:
            what, found = "the reports are of different conditions, and say nothing about each other", f"{other} in {b}"
        else:
            continue
        raise usage(
            what,
            where=field,
            expected=f"{one} as in {a}" if one is not None else f"the {field} of a deploy",
            found=found,
            fix="deploy both to the same device, with the same runtime, evaluation samples and settings",
        )


_DEMANDED = ("device.cpu", "device.runtime_version", "provenance.evaluation_sha256")


def _list_fields(report: Report) -> Iterator[tuple[str, Any]]:
    device: Mapping[str, Any] = report["device"] or _EMPTY
    yield "target", report["target"]
    yield "emulated", report["emulated"]
    for name in _DEVICE:
        yield f"device.{name}", device.get(name)
    yield "provenance.evaluation_sha256", report["provenance"].get("evaluation_sha256")
    for name in ("name", "truth", "unit", "direction", "samples"):
        yield f"metric.{name}", _read(report, "metric", name)
    yield "provenance.recipe.task.metric_options", _read_metric_options(report)
    for name in ("scope", "batch", "threads"):
        yield f"latency.{name}", _read(report, "latency", name)


def _read_metric_options(report: Report) -> Mapping[str, Any]:
    """Return what changes a metric under its name, such as the k of a recall at k; nothing where no recipe says it."""
    found: Any = report["provenance"]
    for key in ("recipe", "task", "metric_options"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else _EMPTY


def _judge(first: Report, second: Report, limits: Limits) -> Iterator[tuple[ExitCode, str]]:
    """Yield what B fails by, the gravest first; what cannot be read is no pass."""
    for name, report in (("A", first), ("B", second)):
        if report["verdict"] != "pass" or report["exit_code"] != ExitCode.PROVEN:
            told = f"{report['verdict']} (exit {report['exit_code']})"
            yield _read_code(report), f"{name} has no verdict to build on: {told}, {'; '.join(report['reasons'])}"
    if first["metric"] is not None and second["metric"] is not None:
        unit, sign = second["metric"]["unit"], 1.0 if second["metric"]["direction"] == "higher" else -1.0
        drop = sign * (first["metric"]["deployed"] - second["metric"]["deployed"])
        # The values are sums of as many numbers as there are samples: rounding is no drop.
        # Asked for what holds, so that a limit that is no number lets nothing through.
        if not drop <= limits.metric_drop_max + 1e-9 * max(1.0, abs(first["metric"]["deployed"])):
            text = f"{second['metric']['name']} is worse by {write_difference(drop, unit)}"
            yield ExitCode.METRIC, f"{text}, the limit is {write_difference(limits.metric_drop_max, unit)}"
    else:
        yield ExitCode.INVALID, "a metric is missing: what was not measured is no pass"
    if not second["emulated"]:
        yield from _judge_ratio(
            "p50", _read(first, "latency", "deployed", "p50_ms"), _read(second, "latency", "deployed", "p50_ms"),
            limits.slowdown_max, ExitCode.LATENCY,
        )  # fmt: skip
    yield from _judge_ratio(
        "size", _read(first, "artifact", "size_bytes"), _read(second, "artifact", "size_bytes"),
        limits.size_growth_max, ExitCode.LATENCY,
    )  # fmt: skip


def _read_code(report: Report) -> ExitCode:
    """Return the code of a report that did not pass; of one that contradicts itself, that it proves nothing."""
    failures = set(ExitCode) - {ExitCode.PROVEN}
    is_told = report["verdict"] == "fail" and report["exit_code"] in failures
    return ExitCode(report["exit_code"]) if is_told else ExitCode.INVALID


def _judge_ratio(
    name: str, one: float | None, other: float | None, most: float, code: ExitCode
) -> Iterator[tuple[ExitCode, str]]:
    if one is None or other is None or one <= 0:
        yield ExitCode.INVALID, f"{name} is missing: what was not measured is no pass"
    elif not other <= one * most:
        yield code, f"{name} of B is {other / one:.3f} times that of A, the limit is {most:g}"


def _read(report: Report, *keys: str) -> Any:
    found: Any = report
    for key in keys:
        found = None if found is None else found[key]
    return found


def _read_unit(first: Report, second: Report) -> str | None:
    metric = second["metric"] or first["metric"]
    return None if metric is None else metric["unit"]


def _compare(name: str, unit: str | None, a: Any, b: Any) -> dict[str, Any]:
    return {"name": name, "unit": unit, "a": a, "b": b}


def _write(unit: str | None, value: Any) -> str:
    if value is None:
        return ABSENT
    if not isinstance(value, int | float):
        return str(value)
    return write_size(int(value)) if unit == "B" else write_value(value, unit or "")


def _write_change(row: Mapping[str, Any]) -> str:
    a, b, unit = row["a"], row["b"], row["unit"]
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return ""
    if unit == "B":
        return write_size_change(int(a), int(b))
    if unit in ("ms", "x"):
        return f"{100 * (b / a - 1):+.1f} %" if a > 0 else ABSENT
    return write_difference(b - a, unit or "")


def find_reports(a: Path, b: Path) -> tuple[Path, Path] | None:
    """Return the reports that two paths name, None where neither does; raises ToolchainError (exit 2) where one does."""
    first, second = _find_report(a), _find_report(b)
    if first is not None and second is not None:
        return first, second
    if first is None and second is None:
        return None
    raise usage(
        "a report and a model cannot be compared",
        where=f"{a} and {b}",
        expected="two of a kind",
        found=f"a report, {a if second is None else b}, and a model or bundle",
        fix="name two reports, or two bundles or .onnx files",
    )

"""Prints the report for a person: verdict first and last, float against deployed, and what was not proven."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from toolchain.agent.measure.quantities import write_count, write_percent
from toolchain.report.end_to_end import describe_end_to_end
from toolchain.report.numbers import list_numbers
from toolchain.report.quantities import write_difference, write_duration
from toolchain.report.shape import NO_REASON, VERDICT_WORDS, Fallback, GateStatus, Report, RunError, Stage, Verdict
from toolchain.run.screen import Screen

FILES = ("report.html", "report.json", "junit.xml", "summary.md", "log.jsonl")
# Fits a terminal of 80 columns and stays readable on a wider one.
WIDTH_MAX = 100
# Of one reason; report.json and the page name all.
_LAYERS_MAX = 4

_VERDICT_STYLE: dict[Verdict, str] = {"pass": "bold green", "fail": "bold red", "invalid": "bold yellow"}
_GATE_STYLE: dict[GateStatus, str] = {
    "passed": "green",
    "failed": "red",
    "invalid": "yellow",
    "undecided": "yellow",
    "skipped": "dim",
}


def print_report(report: Report, *, stream: TextIO, out_dir: Path | None = None) -> None:
    """Print the report; without colour where the stream is no terminal, in ASCII where its encoding asks for it."""
    page = Screen(stream, width_max=WIDTH_MAX)
    _print_verdict(page, report)
    if report["error"] is None:
        page.paragraph()
        page.pairs(_list_facts(report))
    else:
        page.pairs(_list_error(report["error"]))
    _print_numbers(page, report)
    _print_gates(page, report)
    page.paragraph()
    page.pairs(_list_placement(report))
    # Why a candidate was rejected stands among the warnings, or under the verdict.
    waiting = [item for item in report["candidates"] if item["status"] == "not needed"]
    page.pairs([("not needed", f"{item['name']}: {'; '.join(item['reasons'])}") for item in waiting])
    page.pairs([("stages", " · ".join(_describe_stage(stage) for stage in report["stages"]))])
    page.pairs([("warning", warning) for warning in report["warnings"]], "yellow")
    if out_dir is not None:
        page.pairs([("files", " ".join(str(out_dir / name) for name in FILES))])
    page.paragraph()
    _print_verdict(page, report)


def _print_verdict(page: Screen, report: Report) -> None:
    subject = " ".join(part for part in (report["model"], report["precision"], "on", report["target"]) if part)
    word = VERDICT_WORDS[report["verdict"]]
    page.paragraph(f"{word}  {subject}  (exit {report['exit_code']})", _VERDICT_STYLE[report["verdict"]])
    if report["verdict"] != "pass":  # then the reasons are those of candidates that were not shipped
        page.pairs([("", reason) for reason in report["reasons"]])


def _list_error(error: RunError) -> list[tuple[str, str]]:
    return [
        ("where", error["where"] or ""),
        ("expected", error["expected"] or ""),
        ("found", error["found"] or ""),
        ("fix", error["fix"] or ""),
    ]


def _list_facts(report: Report) -> list[tuple[str, str]]:
    facts = [("bundle", report["bundle_id"] or "")]
    device = report["device"]
    if device is not None:
        unit = ", ".join(part for part in (device["cpu"], device["arch"], device["accelerator"]) if part)
        if device["name"] is not None:
            unit = f"{device['name']}: {unit}"
        threads = write_count(device["threads"], "pinned thread" if device.get("pins_threads") else "thread")
        runtime = f"{device['runtime']} {device['runtime_version']}, {threads}"
        facts = [("device", unit), ("runtime", runtime), *facts]
    return facts


def _print_numbers(page: Screen, report: Report) -> None:
    rows, latency = list_numbers(report), report["latency"]
    if rows:
        heads = ["", "float", report["precision"] or "artifact", "change"]
        styles = ("", "", "bold", "")
        page.paragraph()
        page.table(heads, [list(zip(row, styles, strict=True)) for row in rows], numbers=3)
    if latency is not None and latency["deployed"]["samples"]:
        runs = write_count(latency["deployed"]["samples"], "run")
        page.paragraph(f"{runs} each, interleaved; {latency['scope']}; batch {latency['batch']}", "dim")
        page.paragraph("bounds and intervals hold with 99 % confidence", "dim")
    if report["end_to_end"] is not None:
        page.paragraph(describe_end_to_end(report["end_to_end"]), "dim")


def _print_gates(page: Screen, report: Report) -> None:
    parity = {f"parity {item['output']}": item for item in report["parity"]}
    rows = []
    for gate in report["gates"]:
        if gate["group"] == "verdict":
            continue
        measured, required = gate["measured"], gate["required"]
        if gate["name"] in parity:
            measured += f", max {write_difference(parity[gate['name']]['max_abs'])}"
        if gate["status"] == "skipped":
            required = gate["reason"] or ""
        style = _GATE_STYLE[gate["status"]]
        rows.append([(gate["name"], ""), (gate["status"], style), (measured, ""), (required, "dim")])
    if rows:
        page.paragraph()
        page.table(["gate", "", "measured", "required"], rows, numbers=0)


def _list_placement(report: Report) -> list[tuple[str, str]]:
    placement = report["placement"]
    if placement is None:
        return []
    shares = placement["precision_share_macs"].items()
    rows = [("MACs in", ", ".join(f"{precision} {write_percent(share, 1)}" for precision, share in shares))]
    groups: dict[tuple[str, str], list[Fallback]] = {}
    for item in placement["fallbacks"]:
        groups.setdefault((item["precision"], item["reason"] or NO_REASON), []).append(item)
    return rows + [(precision, _describe_fallbacks(items, reason)) for (precision, reason), items in groups.items()]


def _describe_fallbacks(items: Sequence[Fallback], reason: str) -> str:
    """Return the layers that one reason keeps from the precision, with their share of the MACs where all are known."""
    shares = [item["share_macs"] for item in items if item["share_macs"] is not None]
    share = f" ({write_percent(sum(shares), 1)})" if len(shares) == len(items) else ""
    names = ", ".join(item["name"] for item in items[:_LAYERS_MAX])
    rest = len(items) - _LAYERS_MAX
    more = f" and {rest} more" if rest > 0 else ""
    count = f"{len(items)} layers{share}, " if len(items) > 1 else ""
    return f"{count}{names}{more}{'' if count else share}: {reason}"


def _describe_stage(stage: Stage) -> str:
    return f"{stage['name']} {'cached' if stage['cached'] else write_duration(stage['duration_s'])}"

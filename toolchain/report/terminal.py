"""Prints the report for a person: verdict first and last, float against deployed, and what was not proven."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from toolchain.agent.measure.quantities import EN_DASH, TIMES, write_count, write_percent, write_speedup, write_value
from toolchain.report.quantities import (
    MINUS,
    write_bound,
    write_change,
    write_difference,
    write_duration,
    write_size,
    write_size_change,
)
from toolchain.report.shape import NO_REASON, GateStatus, Report, RunError, Stage, Verdict

FILES = ("report.html", "report.json", "junit.xml", "log.jsonl")
# Fits a terminal of 80 columns and stays readable on a wider one.
WIDTH_MAX = 100

_VERDICT_STYLE: dict[Verdict, str] = {"pass": "bold green", "fail": "bold red", "invalid": "bold yellow"}
_VERDICT_WORD: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "invalid": "INVALID"}
_GATE_STYLE: dict[GateStatus, str] = {
    "passed": "green",
    "failed": "red",
    "invalid": "yellow",
    "undecided": "yellow",
    "skipped": "dim",
}
_ASCII = str.maketrans({TIMES: "x", "≤": "<=", "≥": ">=", EN_DASH: "-", MINUS: "-", "…": "...", "·": "-"})


class _Page:
    """A stream that takes any text: what its encoding lacks is replaced, control characters are dropped."""

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream, markup=False, highlight=False, emoji=False)
        self.console.width = min(self.console.width, WIDTH_MAX)
        self.encoding = self.console.encoding

    def text(self, value: str, style: str = "") -> Text:
        clean = "".join(character if character.isprintable() else " " for character in value)
        try:
            clean.encode(self.encoding)
        except UnicodeEncodeError:
            clean = clean.translate(_ASCII).encode(self.encoding, "replace").decode(self.encoding)
        return Text(clean, style=style)

    def line(self, value: str = "", style: str = "") -> None:
        self.console.print(self.text(value, style))

    def pairs(self, rows: list[tuple[str, str]], style: str = "") -> None:
        """Print name and value a line, the names dim and in one column; empty values are left out."""
        table = Table.grid(padding=(0, 2))
        table.add_column(width=11, no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            if value:
                table.add_row(self.text(name, "dim"), self.text(value, style))
        if table.row_count:
            self.console.print(table)

    def table(self, heads: list[str], rows: list[list[tuple[str, str]]], *, numbers: int = 0) -> None:
        """Print a table after an empty line; a cell is (text, style), and the last columns are numbers."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
        for index, head in enumerate(heads):
            justify: JustifyMethod = "right" if index >= len(heads) - numbers else "left"
            table.add_column(self.text(head), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(self.text(value, style) for value, style in row))
        self.line()
        self.console.print(table)


def print_report(report: Report, *, stream: TextIO, out_dir: Path | None = None) -> None:
    """Print the report; without colour where the stream is no terminal, in ASCII where its encoding asks for it."""
    page = _Page(stream)
    _print_verdict(page, report)
    if report["error"] is None:
        page.line()
        page.pairs(_list_facts(report))
    else:
        page.pairs(_list_error(report["error"]))
    _print_numbers(page, report)
    _print_gates(page, report)
    page.line()
    page.pairs(_list_placement(report))
    # Why a candidate was rejected stands among the warnings, or under the verdict.
    waiting = [item for item in report["candidates"] if item["status"] == "not needed"]
    page.pairs([("not needed", f"{item['precision']}: {'; '.join(item['reasons'])}") for item in waiting])
    page.pairs([("stages", " · ".join(_describe_stage(stage) for stage in report["stages"]))])
    page.pairs([("warning", warning) for warning in report["warnings"]], "yellow")
    if out_dir is not None:
        page.pairs([("files", " ".join(str(out_dir / name) for name in FILES))])
    page.line()
    _print_verdict(page, report)


def _print_verdict(page: _Page, report: Report) -> None:
    subject = " ".join(part for part in (report["model"], report["precision"], "on", report["target"]) if part)
    word = _VERDICT_WORD[report["verdict"]]
    page.line(f"{word}  {subject}  (exit {report['exit_code']})", _VERDICT_STYLE[report["verdict"]])
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
        runtime = f"{device['runtime']} {device['runtime_version']}, {write_count(device['threads'], 'thread')}"
        facts = [("device", unit), ("runtime", runtime), *facts]
    return facts


def _print_numbers(page: _Page, report: Report) -> None:
    rows: list[list[str]] = []
    metric, artifact, original, latency = (
        report["metric"],
        report["artifact"],
        report["original"],
        report["latency"],
    )
    if metric is not None:
        values = [write_value(metric[key], metric["unit"]) for key in ("reference", "deployed")]
        change = write_change(metric["deployed"] - metric["reference"], metric["unit"])
        rows.append([metric["name"], *values, change])
    if artifact is not None and original is not None:
        before_bytes, after_bytes = original["size_bytes"], artifact["size_bytes"]
        change = write_size_change(before_bytes, after_bytes)
        rows.append(["size", write_size(before_bytes), write_size(after_bytes), change])
    if latency is not None and latency["deployed"]["samples"]:
        before, after = latency["reference"], latency["deployed"]
        change = write_speedup(latency["speedup"], latency["speedup_low"], latency["speedup_high"])
        if report["emulated"]:
            change = "emulated, no measurement"
        rows += [
            [
                "p50, ms",
                write_bound(before["p50_ms"], before["p50_upper_ms"]),
                write_bound(after["p50_ms"], after["p50_upper_ms"]),
                change,
            ],
            [
                "p90, ms",
                write_bound(before["p90_ms"], before["p90_upper_ms"]),
                write_bound(after["p90_ms"], after["p90_upper_ms"]),
                "",
            ],
            [
                "p99, ms",
                write_bound(before["p99_ms"], before["p99_upper_ms"]),
                write_bound(after["p99_ms"], after["p99_upper_ms"]),
                "",
            ],
        ]
    if rows:
        heads = ["", "float", report["precision"] or "artifact", "change"]
        styles = ("", "", "bold", "")
        page.table(heads, [list(zip(row, styles, strict=True)) for row in rows], numbers=3)
    if latency is not None and latency["deployed"]["samples"]:
        runs = write_count(latency["deployed"]["samples"], "run")
        page.line(f"{runs} each, interleaved; {latency['scope']}; batch {latency['batch']}", "dim")
        page.line("bounds and intervals hold with 99 % confidence", "dim")


def _print_gates(page: _Page, report: Report) -> None:
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
        page.table(["gate", "", "measured", "required"], rows)


def _list_placement(report: Report) -> list[tuple[str, str]]:
    placement = report["placement"]
    if placement is None:
        return []
    shares = placement["precision_share_macs"].items()
    rows = [("MACs in", ", ".join(f"{precision} {write_percent(share, 1)}" for precision, share in shares))]
    for item in placement["fallbacks"]:
        share = "" if item["share_macs"] is None else f" ({write_percent(item['share_macs'], 1)})"
        rows.append((item["precision"], f"{item['name']}{share}: {item['reason'] or NO_REASON}"))
    return rows


def _describe_stage(stage: Stage) -> str:
    return f"{stage['name']} {'cached' if stage['cached'] else write_duration(stage['duration_s'])}"

"""The report in one screen of Markdown, for a pull request: verdict, numbers, gates that did not pass, warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolchain.agent.printable import escape_line
from toolchain.report.numbers import list_numbers
from toolchain.report.shape import VERDICT_WORDS, Report

# What steers Markdown within a line as GitHub and GitLab read it: bare links and mentions of people too.
_STEERS = re.compile(r"([\\`*_{}\[\]<>#|~$@&]|:(?=//)|(?<=www)\.)")
_WARNINGS_MAX = 10
_TROUBLED = ("failed", "invalid", "undecided")


def render_summary(report: Report) -> str:
    """Return the text; names and reasons of others are escaped, so that they are read and steer nothing."""
    word = VERDICT_WORDS[report["verdict"]]
    parts = (report["model"], report["precision"], "on", report["target"])
    subject = " ".join(_escape(part) for part in parts if part)
    lines = [f"### {word}: {subject} (exit {report['exit_code']})", ""]
    if report["verdict"] != "pass":
        lines += [f"- {_escape(reason)}" for reason in report["reasons"]] + [""]
    if report["error"] is not None:
        lines += [f"- {key}: {_escape(value)}" for key, value in _list_error(report)] + [""]
    device = report["device"]
    if device is not None:
        name = f"{device['name']}, " if device["name"] is not None else ""
        runtime = f"{device['runtime']} {device['runtime_version']}"
        lines += [_escape(f"{name}{device['cpu']}, {runtime}, {report['signature']}"), ""]
    lines += _write_table(("", "float", report["precision"] or "artifact", "change"), list_numbers(report))
    troubled = [gate for gate in report["gates"] if gate["group"] != "verdict" and gate["status"] in _TROUBLED]
    lines += _write_table(
        ("gate", "status", "measured", "required"),
        [[gate["name"], gate["status"], gate["measured"], gate["required"]] for gate in troubled],
    )
    passed = sum(gate["status"] == "passed" and gate["group"] != "verdict" for gate in report["gates"])
    lines += [f"{passed} gates passed."] if passed else []
    if report["warnings"]:
        shown = report["warnings"][:_WARNINGS_MAX]
        more = len(report["warnings"]) - len(shown)
        lines += ["", *(f"- warning: {_escape(text)}" for text in shown)]
        lines += [f"- and {more} more warnings in report.html"] if more else []
    return "\n".join(lines).rstrip() + "\n"


def _list_error(report: Report) -> list[tuple[str, str]]:
    error = report["error"]
    if error is None:
        return []
    rows = (
        ("where", error["where"]),
        ("expected", error["expected"]),
        ("found", error["found"]),
        ("fix", error["fix"]),
    )
    return [(key, value) for key, value in rows if value]


def _write_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [heads, ["---"] * len(heads), *rows]
    return [
        f"| {' | '.join(cell if number == 1 else _escape(cell) for cell in line)} |"
        for number, line in enumerate(lines)
    ] + [""]


def _escape(text: str) -> str:
    """Return a text as Markdown shows it: what steers it is written as an entity, which no dialect reads any more."""
    return _STEERS.sub(lambda found: f"&#{ord(found[1])};", escape_line(text))

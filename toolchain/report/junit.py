"""Writes the gates of a report as JUnit XML: a test case a gate, in the dialect that Jenkins and GitLab read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from toolchain.agent.printable import escape_line
from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.shape import Gate, GateStatus, Report, RunError

_ELEMENT: dict[GateStatus, str | None] = {
    "passed": None,
    "failed": "failure",
    "invalid": "error",
    # It stops nothing; its reason is a warning, and stands in the case's output.
    "undecided": None,
    "skipped": "skipped",
}


def render_junit(report: Report) -> bytes:
    """Return junit.xml; the same report gives the same bytes."""
    gates = report["gates"]
    counts = {
        "tests": str(len(gates)),
        "failures": str(sum(gate["status"] == "failed" for gate in gates)),
        "errors": str(sum(gate["status"] == "invalid" for gate in gates)),
        "time": f"{sum(stage['duration_s'] for stage in report['stages']):.3f}",
    }
    root = ET.Element("testsuites", {"name": "toolchain", **counts})
    suite = _add(root, "testsuite", {"name": f"{report['model']} on {report['target']}", **counts})
    # Jenkins' schema knows this count of a suite, and not of all suites.
    suite.set("skipped", str(sum(gate["status"] == "skipped" for gate in gates)))
    properties = _add(suite, "properties")
    for name, value in _list_properties(report).items():
        _add(properties, "property", {"name": name, "value": value})
    for gate in gates:
        _add_case(suite, gate, class_name=f"{report['model']}.{report['target']}")
    if report["warnings"]:
        _add(suite, "system-out", lines=[f"warning: {text}" for text in report["warnings"]])
    if report["error"] is not None:
        _add(suite, "system-err", lines=_write_error(report["error"]).split("\n"))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _add(
    parent: ET.Element, tag: str, attributes: Mapping[str, str] | None = None, *, lines: Sequence[str] = ()
) -> ET.Element:
    """Add an element, all of it escaped: XML 1.0 has no place for control characters (section 2.2, Char)."""
    element = ET.SubElement(parent, tag, {name: escape_line(value) for name, value in (attributes or {}).items()})
    if lines:
        element.text = "\n".join(map(escape_line, lines))
    return element


def _list_properties(report: Report) -> dict[str, str]:
    device = report["device"]
    properties = {
        "exit_code": str(report["exit_code"]),
        "precision": report["precision"],
        "bundle_id": report["bundle_id"],
        "device": (device["name"] or device["cpu"]) if device else None,
        "runtime": f"{device['runtime']} {device['runtime_version']}" if device else None,
    }
    return {name: value for name, value in properties.items() if value is not None}


def _add_case(suite: ET.Element, gate: Gate, class_name: str) -> None:
    # The time of a gate is that of the verify stage, which the suite's time holds.
    case = _add(suite, "testcase", {"classname": class_name, "name": gate["name"], "time": "0"})
    element, reason = _ELEMENT[gate["status"]], gate["reason"] or ""
    numbers = [f"required: {gate['required']}", f"measured: {gate['measured']}"]
    if element == "skipped":
        _add(case, element, {"message": reason})
    elif element is not None:
        _add(case, element, {"message": reason, "type": gate["group"]}, lines=[reason, *numbers])
    else:
        _add(case, "system-out", lines=[*numbers, *([reason] if reason else [])])


def _write_error(error: RunError) -> str:
    """Return the message as the terminal shows it: where it was, and the fix."""
    code = ExitCode(error["code"])
    return str(
        ToolchainError(
            code,
            error["what"],
            where=error["where"],
            expected=error["expected"],
            found=error["found"],
            fix=error["fix"],
        )
    )

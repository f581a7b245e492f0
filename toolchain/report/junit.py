"""Writes the gates of a report as JUnit XML: a test case a gate, in the dialect that Jenkins and GitLab read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.shape import Gate, GateStatus, Report, RunError

# What XML 1.0 (section 2.2, Char) cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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
    suite = ET.SubElement(root, "testsuite", {"name": _clean(f"{report['model']} on {report['target']}"), **counts})
    # Jenkins' schema knows this count of a suite, and not of all suites.
    suite.set("skipped", str(sum(gate["status"] == "skipped" for gate in gates)))
    properties = ET.SubElement(suite, "properties")
    for name, value in _list_properties(report).items():
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for gate in gates:
        _add_case(suite, gate, class_name=_clean(f"{report['model']}.{report['target']}"))
    if report["warnings"]:
        ET.SubElement(suite, "system-out").text = _clean("\n".join(f"warning: {text}" for text in report["warnings"]))
    if report["error"] is not None:
        ET.SubElement(suite, "system-err").text = _clean(_write_error(report["error"]))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


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
    case = ET.SubElement(suite, "testcase", {"classname": class_name, "name": _clean(gate["name"]), "time": "0"})
    element = _ELEMENT[gate["status"]]
    reason = _clean(gate["reason"] or "")
    if element == "skipped":
        ET.SubElement(case, element, {"message": reason})
    elif element is not None:
        problem = ET.SubElement(case, element, {"message": reason, "type": gate["group"]})
        problem.text = _clean(f"{reason}\nrequired: {gate['required']}\nmeasured: {gate['measured']}")
    else:
        told = f"\n{reason}" if reason else ""
        ET.SubElement(case, "system-out").text = _clean(
            f"required: {gate['required']}\nmeasured: {gate['measured']}{told}"
        )


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


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)

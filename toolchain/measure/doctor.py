"""What is installed on this machine, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any, TextIO

from packaging.requirements import Requirement

from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.members import list_members
from toolchain.project.seams import DATA_SETS
from toolchain.run.cache import cache_root
from toolchain.run.extras import BUILD, list_missing, write_install
from toolchain.run.provenance import read_version
from toolchain.run.screen import Screen

# Of the extras in pyproject.toml, the one for those who change the toolchain.
_OWN_EXTRA = "dev"


def examine_machine() -> dict[str, Any]:
    """Return what this machine is by runtime, the distributions that the toolchain needs or can use, and the data sets.

    Each finding has `ok`, and where that is false a `fix`.
    """
    return {
        "toolchain": read_version(),
        "runtimes": {name: _examine_runtime(name) for name in list_runtimes() if find_traits(name).engine != "host"},
        "needed": _examine_requirements(""),
        "extras": {extra: _examine_requirements(extra) for extra in _list_extras()},
        "datasets": _examine_datasets(),
        "python": sys.executable,
        "cache": str(cache_root()),
    }


def print_findings(findings: Mapping[str, Any], *, stream: TextIO) -> None:
    """Print the findings, one line each; what is missing says how to get it."""
    lines = [("toolchain", findings["toolchain"]), ("python", findings["python"]), ("cache", findings["cache"])]
    for name, finding in findings["runtimes"].items():
        lines.append(
            (f"runtime {name}", _write_state(finding, finding["facts"] and finding["facts"]["runtime_version"]))
        )
        facts = finding["facts"]
        if facts is None:
            continue
        for key in ("arch", "cpu", "cpu_features", "os", "accelerator"):
            value = facts.get(key)
            text = " ".join(value) if isinstance(value, list | tuple) else value
            lines.append((f"  {key}", text or "none"))
        for key, value in facts.get("details", {}).items():
            lines.append((f"  {key}", "unknown" if value is None else str(value)))
    lines += [
        (f"needs {finding['name']}{finding['expected']}", _write_state(finding, finding["found"]))
        for finding in findings["needed"]
    ]
    lines += [
        (f"extra {extra}: {finding['name']}{finding['expected']}", _write_state(finding, finding["found"]))
        for extra, requirements in findings["extras"].items()
        for finding in requirements
    ]
    lines += [
        (f"data set {name}", _write_state(finding, finding["needs"] and f"set {finding['needs']}"))
        for name, finding in findings["datasets"].items()
    ]
    width = max(len(name) for name, _ in lines)
    screen = Screen(stream)
    for name, text in lines:
        if " fix: " in text:  # one line, which can be copied
            screen.line(f"{name:<{width}}  {text}")
        else:
            screen.named(name, text, width=width)


def _write_state(finding: Mapping[str, Any], detail: str | None) -> str:
    if not finding["ok"]:
        return f"MISSING  fix: {finding['fix']}"
    return f"ok  {detail}" if detail else "ok"


def _examine_runtime(name: str) -> dict[str, Any]:
    try:
        return {"ok": True, "facts": asdict(read_facts(name)), "fix": None}
    except ToolchainError as error:
        return {"ok": False, "facts": None, "fix": error.fix or error.what}


def _list_extras() -> list[str]:
    extras = metadata.metadata("edge-toolchain").get_all("Provides-Extra") or []
    return sorted(extra for extra in extras if extra != _OWN_EXTRA)


def _examine_requirements(extra: str) -> list[dict[str, Any]]:
    """Return the state of every distribution that one extra asks for; "" is for those that are always needed."""
    requirements = [Requirement(text) for text in metadata.requires("edge-toolchain") or []]
    return [
        _examine_requirement(requirement, extra)
        for requirement in requirements
        if (not extra if requirement.marker is None else requirement.marker.evaluate({"extra": extra}))
    ]


def _examine_requirement(requirement: Requirement, extra: str) -> dict[str, Any]:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        found = None
    ok = found is not None and requirement.specifier.contains(found, prereleases=True)
    fix = write_install(extra) if extra else f"python -m pip install '{requirement.name}{requirement.specifier}'"
    return {
        "name": requirement.name,
        "expected": str(requirement.specifier),
        "found": found,
        "ok": ok,
        "fix": None if ok else fix,
    }


def _examine_datasets() -> dict[str, dict[str, Any]]:
    """Return whether each data set is there; `needs` is the option of one that lies where the user says."""
    if importlib.util.find_spec("numpy") is None or list_missing(
        BUILD
    ):  # the requirements say how to get what reads them
        return {}
    from toolchain.data import load_dataset

    findings: dict[str, dict[str, Any]] = {}
    for name in list_members(DATA_SETS):
        finding: dict[str, Any] = {"ok": True, "needs": None, "fix": None}
        try:
            load_dataset(name, {})
        except ToolchainError as error:
            if error.code == ExitCode.USAGE:
                finding["needs"] = f"{error.where}.{error.expected}"
            else:
                finding |= {"ok": False, "fix": error.fix or error.what}
        findings[name] = finding
    return findings

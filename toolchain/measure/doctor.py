"""What is installed on this machine, what is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any, TextIO

from packaging.requirements import Requirement

from toolchain.agent.facts import read_facts
from toolchain.cache import cache_root
from toolchain.data import list_datasets, load_dataset
from toolchain.errors import ToolchainError


def examine_machine() -> dict[str, Any]:
    """Return the board's facts, what the toolchain needs with what is there, and the data sets that can be read."""
    return {
        "facts": asdict(read_facts("onnxruntime")),
        "needed": [_examine_requirement(Requirement(text)) for text in metadata.requires("edge-toolchain") or []],
        "datasets": {name: _examine_dataset(name) for name in list_datasets()},
        "cache": str(cache_root()),
    }


def print_findings(findings: Mapping[str, Any], *, stream: TextIO) -> None:
    """Print the findings, one line each; what is missing says how to get it."""
    for name, value in findings["facts"].items():
        text = " ".join(value) if isinstance(value, tuple | list) else value
        stream.write(f"{name:<16} {text}\n")
    for finding in findings["needed"]:
        state = f"ok      {finding['found']}" if finding["ok"] else f"MISSING {finding['fix']}"
        stream.write(f"{finding['name']:<16} {state}\n")
    for name, problem in findings["datasets"].items():
        stream.write(f"{name:<22} {problem or 'ok'}\n")
    stream.write(f"cache            {findings['cache']}\n")


def _examine_requirement(requirement: Requirement) -> dict[str, Any]:
    wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        found = None
    fits = found is not None and requirement.specifier.contains(found, prereleases=True)
    return {
        "name": requirement.name,
        "expected": str(requirement.specifier),
        "found": found,
        "ok": fits or not wanted,
        "fix": None if fits else f"python -m pip install '{requirement.name}{requirement.specifier}'",
    }


def _examine_dataset(name: str) -> str | None:
    """Return why a data set cannot be read without options; None where it can."""
    try:
        load_dataset(name, {})
    except ToolchainError as error:
        return str(error).replace("\n", " ").replace("  ", " ")
    return None

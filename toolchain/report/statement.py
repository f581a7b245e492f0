"""The verdict as a statement of the in-toto attestation framework, for the tools of a supply chain.

Statement v1 with the predicate test-result v0.1: github.com/in-toto/attestation, spec/v1/statement.md and
spec/predicates/test-result.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.printable import encode_json
from toolchain.report.shape import Report
from toolchain.run.atomic import write_atomically

STATEMENT_NAME = "statement.json"
STATEMENT_SIGNATURE_NAME = "statement.json.sig"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
_RESULTS = {"pass": "PASSED", "fail": "FAILED", "invalid": "FAILED"}


def build_statement(report: Report, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statement of a report that has a verdict.

    Its subjects are the bundle, by the digest of its manifest, and what was shipped of it. A gate that was skipped is
    neither among the passed tests nor among the failed ones: nothing was tested. A measurement that is worthless has
    FAILED, for the predicate knows no third result.

    environment: what the verdict rests on, as the agent told it (agent/measure/environment.py).
    """
    bundle = {"name": "bundle/manifest.json", "digest": {"sha256": report["bundle_id"]}}
    subject = [bundle]
    artifact = report["artifact"]
    if artifact is not None and report["verdict"] == "pass":
        subject.append({"name": artifact["path"], "digest": {"sha256": artifact["sha256"]}})
    return {
        "_type": _STATEMENT_TYPE,
        "subject": subject,
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "result": _RESULTS[report["verdict"]],
            "configuration": [
                # The limits of the gates are in the manifest.
                {**bundle, "annotations": _describe_run(report)},
                _describe("environment", environment),
            ],
            "passedTests": _name_gates(report, "passed"),
            "warnedTests": [],
            "failedTests": _name_gates(report, "failed", "invalid"),
        },
    }


def _describe(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    digest = hashlib.sha256(canonical).hexdigest()
    return {
        "name": name,
        "mediaType": "application/json",
        "digest": {"sha256": digest},
        "annotations": dict(content),
    }


def _describe_run(report: Report) -> dict[str, Any]:
    device = report["device"]
    return {
        **{key: report[key] for key in ("model", "target", "precision", "exit_code", "signature", "signer")},
        "device": None if device is None else device["name"],
    }


def _name_gates(report: Report, *statuses: str) -> list[str]:
    return [f"{gate['group']}: {gate['name']}" for gate in report["gates"] if gate["status"] in statuses]


def encode_statement(statement: Mapping[str, Any]) -> bytes:
    """Return the bytes of statement.json, which a signature is over."""
    return (encode_json(statement, indent=2, sort_keys=True) + "\n").encode("utf-8")


def write_statement(out_dir: Path, data: bytes, signature: bytes | None) -> None:
    """Write statement.json and, where it is signed, statement.json.sig before it; raises ToolchainError (exit 14)."""
    if signature is not None:
        write_atomically(out_dir / STATEMENT_SIGNATURE_NAME, signature)
    write_atomically(out_dir / STATEMENT_NAME, data)

"""What a board says to a host."""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader
from tests.made_record import BUNDLE_ID, make_manifest, make_record
from toolchain.agent.install.trust import Active
from toolchain.agent.measure.judge import judge_record
from toolchain.agent.measure.verify import describe_judgement
from toolchain.deploy.agent_output import StderrReader, read_agent_output
from toolchain.deploy.answer import read_answer
from toolchain.deploy.words import read_check, read_facts, read_install, read_measured, read_signers, read_status
from toolchain.errors import ExitCode
from toolchain.run.progress import Progress, show_steps

_SHA256 = "ab" * 32
_MANIFEST, _RECORD = make_manifest(), make_record()
_RECORD_DOCUMENT = dataclasses.asdict(_RECORD)
_ANSWER = {"record": _RECORD_DOCUMENT, **describe_judgement(judge_record(_RECORD, _MANIFEST))}
_ACTIVE = dataclasses.asdict(
    Active(
        model="tiny",
        precision="int8",
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        payload="payload/int8/model.onnx",
        sha256=_SHA256,
    )
)
_STATE = {"current": BUNDLE_ID, "previous": None, "counter": 7, "active": _ACTIVE, "releases": [BUNDLE_ID]}
_VERDICT = {
    "model": "tiny",
    "target": "cpu",
    "precision": "int8",
    "runtime": "onnxruntime",
    "threads": 1,
    "pins_threads": False,
    "payload": "payload/int8/model.onnx",
    "sha256": _SHA256,
    "engine": None,
    "time": "2026-11-24T03:50:11Z",
    "signer": None,
    "environment": {},
}
_MEASURED = {
    "exit_code": 0,
    "bundle_id": BUNDLE_ID,
    "signer": None,
    "measurements": {"exit_code": 0},
    "samples_ms": {"int8": [1.0, 2.0]},
    "verdict": _VERDICT,
}
_INSTALL = {**_MEASURED, "replaced": None, "state": _STATE, "notes": []}
_CHECK = {**_MEASURED, "pinned": None, "manifest": "{}", "signed": False, "folder": "/srv/releases"}
_STATUS = {
    **_STATE,
    "exit_code": 0,
    "verified": True,
    "damage": None,
    "verdict": _VERDICT,
    "expired": False,
    "reasons": [],
    "log_tail": [{"step": "switch"}],
    "log_damage": ["log.jsonl, byte 7: no JSON object"],
}
_BOARD = {
    "ssh_keygen": "/usr/bin/ssh-keygen",
    "openssh": "9.2",
    "disk_free_bytes": 1,
    "inodes_free": 1,
    "memory_bytes": 1,
    "memory_available_bytes": 1,
    "time": "2026-11-24T03:50:11Z",
    "is_clock_plausible": True,
}
_FACTS = {**dataclasses.asdict(_RECORD.devices["onnxruntime"]), "board": _BOARD}


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _read_output(function: Callable[[Mapping[str, Any]], object]) -> Callable[[bytes, Path], object]:
    """Return what reads an agent's stdout, as every command on the host does, and then what it says."""

    def read(data: bytes, folder: Path) -> object:
        del folder
        return function(read_agent_output(0, data.decode("utf-8", "replace"), "").document)

    return read


def _read_stderr(data: bytes, folder: Path) -> object:
    del folder
    reader = StderrReader(show_steps(Progress(stream=io.StringIO())))
    for line in data.decode("utf-8", "replace").splitlines():
        reader.add_line(line)
    return reader.others


# Of what an answer may be: unreadable, in contradiction with itself, about another bundle, of another board.
_CODES = frozenset({ExitCode.UNEXPECTED, ExitCode.CONTENT, ExitCode.INCOMPATIBLE, ExitCode.INVALID, ExitCode.MALFORMED})

READERS = (
    Reader(
        "answer",
        _read_output(lambda document: read_answer(document, _MANIFEST, BUNDLE_ID)),
        (_encode(_ANSWER),),
        _CODES,
    ),
    Reader(
        "install", _read_output(lambda document: read_measured(read_install(document))), (_encode(_INSTALL),), _CODES
    ),
    Reader("check", _read_output(lambda document: read_measured(read_check(document))), (_encode(_CHECK),), _CODES),
    Reader("status", _read_output(read_status), (_encode(_STATUS),), _CODES),
    Reader("facts", _read_output(read_facts), (_encode(_FACTS),), _CODES),
    Reader(
        "signers",
        _read_output(lambda document: read_signers(document, ["a"])),
        (_encode({"signers": ["a"], "replaced": []}),),
        _CODES,
    ),
    Reader(
        "progress",
        _read_stderr,
        (_encode({"step": "verify", "done": 1, "total": 2}), b'{"event": "alive"}\nTraceback\n'),
        frozenset(),
    ),
)

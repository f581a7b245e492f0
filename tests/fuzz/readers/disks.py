"""What a host sends to a board, and what lies on a board's disk."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.reader import Reader
from tests.made_record import BUNDLE_ID, make_manifest
from toolchain.agent.install.audit import AuditLog
from toolchain.agent.install.channel import Channel
from toolchain.agent.install.enroll import enroll_signers, list_signers
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.offer import read_offer
from toolchain.agent.install.receive import list_wanted, receive_files
from toolchain.agent.install.self_test import _read_verdict
from toolchain.agent.install.trail import read_trail
from toolchain.agent.install.trust import EMPTY, Active, read_state
from toolchain.agent.install.verdict import SCHEMA, Shipped, Verdict, read_verdict
from toolchain.agent.manifest import encode_manifest, parse_manifest
from toolchain.agent.measure.environment import Environment
from toolchain.errors import ExitCode

_SHA256 = "ab" * 32
_ENVIRONMENT = Environment(
    runtime="onnxruntime",
    runtime_version="1.30.1",
    package_version="1.30.1",
    libraries={"libonnxruntime.so": _SHA256},
    python="3.11.2",
    arch="x86_64",
    cpu="a CPU",
    cpu_features=("avx2",),
    kernel="6.1.0",
    gpu_driver=None,
    l4t=None,
    power_mode=None,
)
_VERDICT = Verdict(
    schema=SCHEMA,
    bundle_id=BUNDLE_ID,
    model="tiny",
    target="cpu",
    shipped=Shipped(
        precision="int8",
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        path="payload/int8/model.onnx",
        size_bytes=7,
        sha256=_SHA256,
    ),
    engine=None,
    exit_code=0,
    time="2026-11-24T03:50:11Z",
    signer=None,
    python_path="/usr/bin/python3",
    cpus=2.0,
    environment=_ENVIRONMENT,
    libraries={},
    failure=None,
)
_STATE = dataclasses.replace(
    EMPTY,
    counter=7,
    current=BUNDLE_ID,
    proven=(BUNDLE_ID,),
    active=Active(
        model="tiny",
        precision="int8",
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        payload="payload/int8/model.onnx",
        sha256=_SHA256,
    ),
)
_SIGNERS = b"ci@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n# a comment\n"
_MANIFEST = dataclasses.replace(
    make_manifest(), files=tuple(dataclasses.replace(entry, size_bytes=100) for entry in make_manifest().files)
)
_OFFER = json.dumps({"protocol": 1, "manifest_bytes": 2, "signature_bytes": 0}).encode() + b"\n{}"


def _encode(record: object) -> bytes:
    return json.dumps(dataclasses.asdict(record)).encode()


def _say(data: bytes, folder: Path, use: Callable[[Channel], object]) -> object:
    """Return what comes of a channel whose host says these bytes and hangs up."""
    (folder / "said").write_bytes(data)
    reader, writer = os.open(folder / "said", os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)
    try:
        return use(Channel(reader, writer, on_bytes=lambda: None))
    finally:
        os.close(reader)
        os.close(writer)


def _receive(data: bytes, folder: Path) -> object:
    """Take what a manifest lists from a host that sends as much as it can."""
    manifest = parse_manifest(data)
    staged = folder / "staging"
    staged.mkdir()
    wanted = list_wanted(staged, manifest.files)
    said = b"x" * min(sum(item.size_bytes for item in wanted), 1 << 20)
    return _say(said, folder, lambda channel: receive_files(staged, wanted, channel, lambda *_: None))


def _enroll(data: bytes, folder: Path) -> object:
    return _say(data, folder, lambda channel: enroll_signers(folder / "root", "test", channel))


def _read_at(path: str, function: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Return what reads a file of a board's folder."""

    def read(data: bytes, folder: Path) -> object:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        return function(folder)

    return read


def _append(root: Path) -> None:
    log = AuditLog(Folder(root), command="check", who="test")
    log.write("check", "done", None)
    log.close()


def _read_self_test(data: bytes, folder: Path) -> object:
    (folder / "samples.json").write_text('{"int8": [1.0]}')
    return _read_verdict(0, data, folder / "samples.json")


def _read_samples(data: bytes, folder: Path) -> object:
    (folder / "samples.json").write_bytes(data)
    return _read_verdict(0, b'{"exit_code": 0}', folder / "samples.json")


_GONE = frozenset({ExitCode.CONNECTION_LOST, ExitCode.MALFORMED})

READERS = (
    Reader("offer", lambda data, folder: _say(data, folder, read_offer), (_OFFER,), _GONE),
    Reader("received files", _receive, (encode_manifest(_MANIFEST),), _GONE),
    Reader("enrolment", _enroll, (b'{"bytes": %d}\n%s' % (len(_SIGNERS), _SIGNERS),), _GONE | {ExitCode.USAGE}),
    Reader("allowed signers", lambda data, _: list_signers(data, "stdin"), (_SIGNERS,), frozenset({ExitCode.USAGE})),
    Reader("trust state", _read_at("state.json", lambda root: read_state(Folder(root))), (_encode(_STATE),)),
    Reader(
        "verdict",
        _read_at(f"verdicts/{BUNDLE_ID}.json", lambda root: read_verdict(Folder(root), BUNDLE_ID)),
        (_encode(_VERDICT),),
    ),
    Reader(
        "log",
        _read_at("log.jsonl", lambda root: read_trail(Folder(root), 5)),
        (b'{"a": 1}\n{"b": 2}\n', b'{"previous": null}\n{"previous": "aa"}\n'),
        frozenset(),
    ),
    Reader("log to go on with", _read_at("log.jsonl", _append), (b'{"a": 1}\n{"b": 2}\n{"c"',), frozenset()),
    # What the self-test reports is its own; what it cannot have said is exit 21.
    Reader("self-test", _read_self_test, (b'{"exit_code": 0, "record": {}}',), frozenset({ExitCode.ROLLED_BACK})),
    Reader("samples", _read_samples, (b'{"int8": [1.0, 2.0]}',), frozenset({ExitCode.ROLLED_BACK})),
)

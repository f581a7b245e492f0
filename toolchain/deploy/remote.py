"""The transport to a board: the bundle is kept in the output folder and installed by the agent on the board."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from toolchain.agent.manifest import MANIFEST_NAME, parse_manifest
from toolchain.deploy.board import ROOT_ARGUMENT, Board, describe_caller, read_result
from toolchain.deploy.channel import Channel
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.transport import Measured, OnProgress, Shipment
from toolchain.errors import ExitCode, ToolchainError

_PROTOCOL = 1
_BLOCK_BYTES = 1 << 16


class RemoteTransport:
    """Deploys to a board, and keeps what was deployed in OUT/bundle.

    The connection is opened when it is first needed, so that a board that cannot be reached is the run's verdict.
    """

    def __init__(self, out: Path, *, device: str, board: Board) -> None:
        self._device = device
        self._board = board
        self._local = LocalTransport(out)
        self._stack = contextlib.ExitStack()
        self._is_connected = False
        self._channel: Channel | None = None
        self._show: OnProgress = _ignore

    @property
    def device(self) -> str | None:
        return self._device

    def __enter__(self) -> Self:
        self._stack.enter_context(self._local)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read_facts(self, runtime: str) -> Mapping[str, Any]:
        return self._connect().run("facts", "--runtime", runtime, "--root", ROOT_ARGUMENT).document

    def place_bundle(self, shipment: Shipment, on_progress: OnProgress) -> int:
        self._local.place_bundle(shipment)
        # The channel outlives this method, and each phase has its own progress.
        self._show = on_progress
        arguments = [
            *("install", "--root", ROOT_ARGUMENT, "--who", describe_caller()),
            *("--signature", "required" if shipment.signature_required else "optional"),
            *shipment.effort.list_arguments(),
        ]
        board = self._connect()
        channel = self._stack.enter_context(board.start(arguments, self._report))
        wanted = _offer(channel, self._local.bundle, shipment.signature or b"")
        sent_bytes = _send_files(channel, self._local.bundle, wanted, on_progress)
        self._channel = channel
        return sent_bytes

    def measure_bundle(self, on_progress: OnProgress) -> Measured:
        if self._channel is None:
            raise ValueError("no bundle was placed")
        self._show = on_progress
        return read_measured(read_result(self._channel).document)

    def _report(self, step: str, done: int, total: int) -> None:
        self._show(step, done, total)

    def _connect(self) -> Board:
        if not self._is_connected:
            self._stack.enter_context(self._board)
            self._is_connected = True
        return self._board


def read_measured(document: Mapping[str, Any]) -> Measured:
    """Return what the agent's `install` and `check` measured."""
    return Measured(
        document=document["measurements"],
        samples_ms=document.get("samples_ms", {}),
        signer=document.get("signer"),
        notes=document.get("notes", ()),
    )


def _offer(channel: Channel, bundle: Path, signature: bytes) -> Sequence[Mapping[str, Any]]:
    """Send the manifest and its signature, and return the files that the board asks for."""
    manifest = (bundle / MANIFEST_NAME).read_bytes()
    header = {"protocol": _PROTOCOL, "manifest_bytes": len(manifest), "signature_bytes": len(signature)}
    channel.send([json.dumps(header).encode() + b"\n", manifest, signature])
    line = channel.read_line()
    try:
        document = json.loads(line or "")
        if "wanted" in document:
            return _check_wanted(document["wanted"], manifest)
    except (ValueError, TypeError, KeyError) as error:
        channel.finish()  # a connection that broke says so
        raise _unexpected(repr(line)) from error
    read_result(channel, line)
    raise _unexpected(repr(line))


def _check_wanted(wanted: Any, manifest: bytes) -> Sequence[Mapping[str, Any]]:
    # A board may ask for files of this bundle, and for nothing else of this machine.
    sizes = {entry.path: entry.size_bytes for entry in parse_manifest(manifest).files}
    for file in wanted:
        if not 0 <= file["offset"] <= sizes[file["path"]]:
            raise ValueError("an offset outside of the file")
    return list(wanted)


def _send_files(channel: Channel, bundle: Path, wanted: Sequence[Mapping[str, Any]], on_progress: OnProgress) -> int:
    """Send the files from their offsets on, and return how many bytes that were."""
    total = sum((bundle / file["path"]).stat().st_size - file["offset"] for file in wanted)
    done = 0
    for block in _read_blocks(bundle, wanted):
        sent = channel.send([block])
        done += sent
        on_progress("send, bytes", done, total)
        if sent < len(block):  # the board has ended; its last word says why
            break
    return done


def _read_blocks(bundle: Path, wanted: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for item in wanted:
        with (bundle / item["path"]).open("rb") as file:
            file.seek(item["offset"])
            while block := file.read(_BLOCK_BYTES):
                yield block


def _unexpected(found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.UNEXPECTED,
        "the agent answered something else than the protocol says",
        expected="the files that it wants",
        found=found,
        fix="report it",
    )


def _ignore(step: str, done: int, total: int) -> None:
    """Show nothing."""

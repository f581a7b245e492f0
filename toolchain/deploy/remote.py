"""The transport to a board: the bundle is kept in the output folder and installed by the agent on the board."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from toolchain.agent.bundle_files import MANIFEST_NAME
from toolchain.agent.decode import decode
from toolchain.agent.install.receive import WantedFile
from toolchain.agent.manifest import parse_manifest
from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.settings import list_arguments
from toolchain.deploy.agent_output import parse_answer
from toolchain.deploy.board import ROOT_ARGUMENT, Board, describe_caller, read_result
from toolchain.deploy.channel import Channel
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.transport import Measured, OnProgress, Shipment
from toolchain.deploy.words import read_facts, read_install, read_measured
from toolchain.errors import ToolchainError, malformed

_PROTOCOL = 1
_BLOCK_BYTES = 1 << 16
_SHOWN_MAX = 200  # characters of an answer that makes no sense


@dataclass(frozen=True)
class _Wishes:
    wanted: tuple[WantedFile, ...]


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
        self._facts: dict[str, Facts] = {}
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

    def read_facts(self, runtime: str) -> Facts:
        answer = self._connect().run("facts", "--runtime", runtime, "--root", ROOT_ARGUMENT)
        self._facts[runtime] = read_facts(answer.document, runtime)[0]
        return self._facts[runtime]

    def place_bundle(self, shipment: Shipment, on_progress: OnProgress) -> int:
        self._local.place_bundle(shipment)
        # The channel outlives this method, and each phase has its own progress.
        self._show = on_progress
        arguments = [
            *("install", "--root", ROOT_ARGUMENT, "--who", describe_caller()),
            *("--signature", "required" if shipment.signature_required else "optional"),
            *list_arguments(shipment.settings),
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
        measured = read_measured(read_install(read_result(self._channel).document))
        return replace(measured, facts=self._facts)

    def _report(self, step: str, done: int, total: int) -> None:
        self._show(step, done, total)

    def _connect(self) -> Board:
        if not self._is_connected:
            self._stack.enter_context(self._board)
            self._is_connected = True
        return self._board


def _offer(channel: Channel, bundle: Path, signature: bytes) -> Sequence[WantedFile]:
    """Send the manifest and its signature, and return the files that the board asks for."""
    manifest = (bundle / MANIFEST_NAME).read_bytes()
    header = {"protocol": _PROTOCOL, "manifest_bytes": len(manifest), "signature_bytes": len(signature)}
    if channel.has_said():
        read_result(channel)  # an agent that cannot take an offer says why
        raise _unexpected("an answer before the offer")
    channel.send([json.dumps(header).encode() + b"\n", manifest, signature])
    line = channel.read_line()
    try:
        document = parse_answer(line or b"", "wanted")
    except ToolchainError as error:
        channel.finish()  # a connection that broke says so
        raise _unexpected(repr(line)) from error
    if not isinstance(document, dict) or "wanted" not in document:
        read_result(channel, line or b"")
        raise _unexpected(repr(line))
    try:
        wanted = cast("_Wishes", decode(_Wishes, document, "wanted")).wanted
    except ToolchainError as error:
        raise _unexpected(repr(line)) from error
    if not _are_files_of(manifest, wanted):
        raise _unexpected(repr(line))
    return wanted


def _are_files_of(manifest: bytes, wanted: Sequence[WantedFile]) -> bool:
    # A board may ask for the files of this bundle, each once, and for nothing else of this machine.
    sizes = {entry.path: entry.size_bytes for entry in parse_manifest(manifest).files}
    paths = [file.path for file in wanted]
    return len(set(paths)) == len(paths) and all(0 <= file.offset <= sizes.get(file.path, -1) for file in wanted)


def _send_files(channel: Channel, bundle: Path, wanted: Sequence[WantedFile], on_progress: OnProgress) -> int:
    """Send the files from their offsets on, and return how many bytes that were."""
    total = sum((bundle / file.path).stat().st_size - file.offset for file in wanted)
    done = 0
    for block in _read_blocks(bundle, wanted):
        sent = channel.send([block])
        done += sent
        on_progress("send, bytes", done, total)
        if sent < len(block):  # the board has ended; its last word says why
            break
    return done


def _read_blocks(bundle: Path, wanted: Sequence[WantedFile]) -> Iterator[bytes]:
    for file in wanted:
        with (bundle / file.path).open("rb") as content:
            content.seek(file.offset)
            while block := content.read(_BLOCK_BYTES):
                yield block


def _unexpected(found: str) -> ToolchainError:
    return malformed(
        "the board answered something else than the protocol says",
        expected="the files that it wants, each once",
        found=found[:_SHOWN_MAX],
        fix="look at the board: its agent, or something in its place, does not ask for what it lacks",
    )


def _ignore(step: str, done: int, total: int) -> None:
    """Show nothing."""

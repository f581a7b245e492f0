"""What each state of install.py does when it is entered. Failures, recovery and the order are there, not here."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, List, Optional

from ..bundle_files import MANIFEST_NAME, SHIPPED_LINK, SIGNATURE_NAME
from ..contents import check_contents_at
from ..durable import remove_tree, sync_path, sync_tree
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, compute_bundle_id, parse_manifest
from ..measure.settings import MeasureSettings
from .admission import authenticate_offer, authenticate_release, check_fresh, check_signed_as_declared
from .audit import AuditLog
from .channel import Channel
from .lock import take_lock
from .offer import read_offer
from .receive import (
    WantedFile,
    check_space,
    describe_wanted,
    list_stored,
    list_wanted,
    receive_files,
    take_from_releases,
)
from .self_test import SAMPLES_NAME, SelfTest, run_self_test
from .settle import settle
from .slots import CURRENT, Slots
from .trust import EMPTY, TrustState, write_state
from .verdict import (
    Verdict,
    check_pinned,
    give_verdict,
    name_proven,
    read_verdict,
    record_failure,
    remove_verdict,
    write_verdict,
)

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """What the command line says; `keep` is the number of releases that stay."""

    who: str
    is_signature_required: bool
    settings: MeasureSettings
    keep: int


@dataclass
class Deployment:
    """What one run knows so far; states fill it in order."""

    command: str
    options: Options
    slots: Slots
    channel: Channel
    on_progress: OnProgress
    extend_limit: Callable[[], None]
    """Says that the state makes progress, so that its time limit starts anew."""
    stack: contextlib.ExitStack
    self_test_limit_s: float
    log: Optional[AuditLog] = None
    trust: TrustState = EMPTY
    manifest_bytes: bytes = b""
    signature_bytes: bytes = b""
    bundle_id: Optional[str] = None
    manifest: Optional[Manifest] = None
    signer: Optional[str] = None
    is_installed: bool = False
    """The release is on the board already and intact: nothing is to be sent, staged or placed."""
    wanted: List[WantedFile] = field(default_factory=list)
    result: Optional[SelfTest] = None
    verdict: Optional[Verdict] = None
    held: Optional[int] = None
    """The descriptor of the folder that was verified: it is what is proven, and what becomes active."""
    replaced: Optional[str] = None
    """What was active before."""
    is_switched: bool = False

    @property
    def id(self) -> str:
        """The bundle_id, in the states that come after it is known."""
        if self.bundle_id is None:
            message = "no bundle yet"
            raise RuntimeError(message)
        return self.bundle_id

    @property
    def held_folder(self) -> int:
        """The descriptor of what was verified, in the states that come after that."""
        if self.held is None:
            message = "nothing was verified yet"
            raise RuntimeError(message)
        return self.held


def lock(run: Deployment) -> None:
    """Take the board for this process alone."""
    run.slots.create_folders()
    run.stack.callback(os.close, take_lock(run.slots.folder, run.options.who))
    run.log = AuditLog(run.slots.folder, command=run.command, who=run.options.who)
    run.stack.callback(run.log.close)


def recover(run: Deployment) -> None:
    """Settle what an earlier run left."""
    run.trust = settle(run.slots)


def authenticate(run: Deployment) -> None:
    """Take manifest and signature from the host, and verify the signature before anything of them is parsed."""
    offer = read_offer(run.channel)
    run.manifest_bytes, run.signature_bytes = offer.manifest_bytes, offer.signature_bytes
    run.bundle_id = compute_bundle_id(offer.manifest_bytes)
    run.signer = authenticate_offer(run.slots, offer, is_required=run.options.is_signature_required)


def accept(run: Deployment) -> None:
    """Parse the manifest, and refuse what is not for this board, not now, or too large; list what is missing."""
    # Numpy and the runtime: half a second that no other state has to wait for.
    from ..measure.facts import check_compatible, read_facts

    manifest = run.manifest = parse_manifest(run.manifest_bytes)
    check_signed_as_declared(manifest, run.signer)
    check_fresh(manifest, run.id, run.trust)
    for runtime in manifest.runtimes:
        check_compatible(manifest.compatible, read_facts(runtime))
    run.slots.discard_partials(keep=run.id)
    run.is_installed = run.id in run.trust.proven and run.slots.is_intact(run.id)
    if run.is_installed:
        run.slots.discard(run.slots.find_partial(run.id))
        return
    partial = run.slots.find_partial(run.id)
    if not partial.is_dir() or partial.is_symlink():
        remove_tree(partial)
        partial.mkdir(mode=0o755)
    for name in (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_LINK):
        remove_tree(partial / name)
    run.wanted = list_wanted(partial, manifest.files)
    try:
        check_space(partial, list_stored(run.wanted, _list_sources(run)))
    except ToolchainError:
        _remove_old(run, keep=0)
        check_space(partial, list_stored(run.wanted, _list_sources(run)))


def receive(run: Deployment) -> None:
    """Fill the staged bundle."""
    if run.is_installed:
        run.channel.send(describe_wanted([]))
        return
    partial = run.slots.find_partial(run.id)
    (partial / MANIFEST_NAME).write_bytes(run.manifest_bytes)
    if run.signature_bytes:
        (partial / SIGNATURE_NAME).write_bytes(run.signature_bytes)
    wanted = take_from_releases(partial, run.wanted, _list_sources(run), run.extend_limit)
    run.channel.send(describe_wanted(wanted))
    receive_files(partial, wanted, run.channel, run.on_progress)


def _list_sources(run: Deployment) -> List[Path]:
    return [run.slots.find_release(bundle_id) for bundle_id in run.trust.proven]


def verify(run: Deployment) -> None:
    """Compare every file with the manifest, and write all of them to the disk."""
    if run.manifest is None:  # what is gone back to must be what was proven
        run.held = run.stack.enter_context(run.slots.hold_release(run.id))
        run.slots.check_proven(run.id, run.held)
        return
    if run.is_installed:
        run.held = run.stack.enter_context(run.slots.hold_release(run.id))
        run.slots.check_release(run.id, run.held)
        return
    partial = run.slots.find_partial(run.id)
    run.held = os.open(str(partial), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    run.stack.callback(os.close, run.held)
    check_contents_at(run.held, run.manifest)
    sync_tree(partial)
    sync_path(run.slots.staging)


def place(run: Deployment) -> None:
    """Move the verified bundle to its place among the releases."""
    if not run.is_installed:
        run.slots.place(run.id)
        run.slots.settle_link(run.id)  # of a damaged copy that was proven, and may be the active release


def self_test(run: Deployment) -> None:
    """Have the release prove itself in a process of its own; one that is gone back to must prove what it proved before."""
    try:
        _prove(run)
    except ToolchainError as error:
        if run.id in run.trust.proven:
            record_failure(run.slots.folder, run.id, error)
        raise


def _prove(run: Deployment) -> None:
    release = run.slots.find_release(run.id)
    before = read_verdict(run.slots.folder, run.id) if run.command == "rollback" else None
    manifest = run.manifest or parse_manifest((release / MANIFEST_NAME).read_bytes())
    run.result = run_self_test(
        release,
        run.options.settings,
        run.slots.staging / SAMPLES_NAME,
        held=run.held_folder,
        limit_s=run.self_test_limit_s,
        pinned=None if before is None else name_proven(manifest, before),
    )
    if run.result.exit_code != ExitCode.PROVEN:
        fix = "read the report; nothing was activated"
        raise ToolchainError(run.result.exit_code, run.result.find_reason(), fix=fix)
    run.manifest = manifest
    run.verdict = give_verdict(run.slots.root, run.id, run.manifest, run.result.measurements, run.signer)
    check_pinned(before, run.verdict)


def activate(run: Deployment) -> None:
    """Switch `current`, if every file is still as it was verified; verdict and link are there before."""
    run.slots.check_release(run.id, run.held_folder)
    run.replaced = run.trust.current
    if run.verdict is not None:
        write_verdict(run.slots.folder, run.verdict)
    run.slots.settle_link(run.id)
    run.slots.switch(CURRENT, run.id)
    try:
        run.slots.check_held(run.id, run.held_folder)
    except ToolchainError:  # `current` leads to what nobody proved; a kill right here is settled by the next run
        run.slots.switch(CURRENT, run.replaced)
        raise
    run.is_switched = True


def record(run: Deployment) -> None:
    """Let `previous` and the trust state follow `current`."""
    run.trust = settle(run.slots)


def prune(run: Deployment) -> None:
    """Remove the oldest releases beyond the count, and the engines of those that are gone."""
    from ..measure.tensorrt.engine_cache import EngineCache

    _remove_old(run, keep=run.options.keep)
    EngineCache(run.slots.root).prune(run.slots.list_releases())


def choose(run: Deployment) -> None:
    """Choose the release to go back to."""
    if run.trust.previous is None:
        what, fix = "there is no previous release to go back to", "deploy the bundle that you want"
        raise ToolchainError(ExitCode.USAGE, what, where=str(run.slots.root), fix=fix)
    run.bundle_id = run.trust.previous
    # Who may sign today is for `status` to hold against it: the way back stays open.
    with contextlib.suppress(ToolchainError):
        run.signer = authenticate_release(run.slots, run.id)


def _remove_old(run: Deployment, *, keep: int) -> None:
    excess = len(run.trust.proven) - keep
    if excess <= 0:
        return
    kept = [bundle_id for bundle_id in (run.trust.current, run.trust.previous, run.bundle_id) if bundle_id is not None]
    removable = run.slots.list_removable(kept, run.trust.proven)
    for bundle_id in removable[:excess]:
        run.slots.discard(run.slots.find_release(bundle_id))
        remove_verdict(run.slots.folder, bundle_id)
        proven = tuple(other for other in run.trust.proven if other != bundle_id)
        run.trust = replace(run.trust, proven=proven)
        write_state(run.slots.folder, run.trust)

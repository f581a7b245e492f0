"""The transport of this machine: the bundle lands in the output folder, and its agent runs here."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from toolchain.agent.bundle_files import SHIPPED_LINK, SHIPPED_NAME, SIGNATURE_NAME
from toolchain.agent.contents import check_contents
from toolchain.agent.durable import sync_path, write_file
from toolchain.agent.manifest import Manifest, read_manifest
from toolchain.agent.measure.facts import Facts, read_facts
from toolchain.agent.measure.machine_speed import SPEED_MEMORY
from toolchain.agent.measure.settings import DEFAULTS, MeasureSettings, list_arguments
from toolchain.agent.measure.tensorrt.engine_cache import find_user_root
from toolchain.agent.temporary import TemporaryFolder
from toolchain.deploy.agent_limits import find_limits
from toolchain.deploy.lock import lock_folder
from toolchain.deploy.own_agent import run_agent
from toolchain.deploy.swap import replace_folder, restore_folder
from toolchain.deploy.transport import Measured, OnProgress, Shipment
from toolchain.errors import ExitCode, ToolchainError, explain_storage
from toolchain.project import agent_members
from toolchain.project.agent_members import use_member
from toolchain.project.members import Member, find_member, list_members
from toolchain.project.seams import DECODERS, METRICS, RUNTIMES, Seam
from toolchain.run.cache import cache_root, hash_file

_PARTIAL = "bundle.partial-"
_PREVIOUS = "bundle.previous"


# What lies beside a bundle's files: who signed it is said anew, and what an earlier verdict shipped says nothing of this one.
_BESIDE = {SIGNATURE_NAME, SHIPPED_NAME, SHIPPED_LINK}


def _copy_bundle(source: Path, target: Path) -> None:
    _copy_items(target, [path for path in source.iterdir() if path.name not in _BESIDE])


def _copy_items(target: Path, items: Iterable[Path]) -> None:
    # Links are copied as links, and then refused by check_contents.
    target.mkdir()
    for path in sorted(items):
        copy = target / path.name
        if path.is_dir() and not path.is_symlink():
            _copy_items(copy, path.iterdir())
        else:
            shutil.copy2(path, copy, follow_symlinks=False)
            if not copy.is_symlink():
                sync_path(copy)
    sync_path(target)


class LocalTransport:
    """Deploys to OUT/bundle on this machine."""

    def __init__(self, out: Path) -> None:
        self._out = out.absolute()
        self._lock: BinaryIO | None = None
        self._settings = DEFAULTS

    @property
    def device(self) -> str | None:
        return None

    @property
    def bundle(self) -> Path:
        """The folder of the placed bundle."""
        return self._out / "bundle"

    def __enter__(self) -> Self:
        """Take OUT for this deploy; the lock goes with the process, however it ends."""
        self._lock = lock_folder(self._out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_facts(self, runtime: str) -> Facts:
        return read_facts(runtime)

    def place_bundle(self, shipment: Shipment, on_progress: OnProgress | None = None) -> int:  # noqa: ARG002 - a copy on one disk shows none
        """Copy a bundle to OUT/bundle in one step; see Transport."""
        self._settings = shipment.settings
        with explain_storage():
            self._settle()
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._out))
            try:
                copy = partial / "bundle"
                _copy_bundle(shipment.bundle, copy)
                if shipment.signature is not None:
                    write_file(copy / SIGNATURE_NAME, shipment.signature)
                manifest, _ = read_manifest(copy)
                check_contents(copy, manifest)
                replace_folder(copy, self.bundle, self._out / _PREVIOUS)
            finally:
                self._settle()
        return 0

    def _settle(self) -> None:
        # After a deploy that ended anywhere: the old bundle or the new one in its place, and nothing beside it.
        restore_folder(self.bundle, self._out / _PREVIOUS)
        for path in (*self._out.glob(f"{_PARTIAL}*"), self._out / _PREVIOUS):
            shutil.rmtree(path, ignore_errors=True)

    def measure_bundle(self, on_progress: OnProgress) -> Measured:
        return measure_folder(self.bundle, self._settings, on_progress)


def measure_folder(
    bundle_dir: Path, settings: MeasureSettings, on_progress: OnProgress, *, pinned: str | None = None
) -> Measured:
    """Have this toolchain's agent measure a bundle's folder on this machine; see Transport."""
    manifest, _ = read_manifest(bundle_dir)
    with TemporaryFolder() as folder:
        path = folder / "samples.json"
        memory = cache_root().absolute() / SPEED_MEMORY
        arguments = ["verify", str(bundle_dir.absolute()), "--samples", str(path), "--speed-memory", str(memory)]
        # Never what lies around the bundle, in which a board's engines would be: an engine is native code.
        arguments += ["--engines", str(find_user_root().absolute())]
        arguments += list_arguments(settings) + _list_members(bundle_dir, manifest)
        arguments += [] if pinned is None else ["--pinned", pinned]
        result = run_agent(arguments, on_progress, limits=find_limits(manifest), where=str(bundle_dir))
        return Measured(document=result.document, samples_ms=json.loads(path.read_text(encoding="utf-8")))


def _list_members(bundle_dir: Path, manifest: Manifest) -> list[str]:
    """Return how the agent finds the bundle's metric, decoder and runtime where they are from outside; unknown ones it refuses.

    Raises ToolchainError: exit 10 for a file in the bundle itself, which the project's folder may be; exit 11 for a metric
    or decoder that is another one here than in the bundle: the value to compare with is not of it.
    """
    names = _name_members(manifest)
    refuse_members_inside(bundle_dir, manifest)
    for seam, name in names:
        if name in list_members(seam):
            member = find_member(seam, name)
            use_member(seam, name)
            own = f"agent/measure/{seam.name}/{name}.py"
            told = next((entry.sha256 for entry in manifest.files if entry.path == own), None)
            if seam is not RUNTIMES and not member.is_ours and told not in (None, hash_file(member.path)):
                what, fix = f"the {seam.noun} {name} is another one here than in the bundle", "deploy the model again"
                raise ToolchainError(
                    ExitCode.CONTENT,
                    what,
                    where=str(member.path),
                    expected=told,
                    found=hash_file(member.path),
                    fix=fix,
                )
    return agent_members.list_arguments(names)


def _name_members(manifest: Manifest) -> list[tuple[Seam, str | None]]:
    decoder = manifest.metric.decoder
    return [
        (METRICS, manifest.metric.name),
        (DECODERS, None if decoder is None else decoder.name),
        *((RUNTIMES, runtime) for runtime in manifest.runtimes),
    ]


def refuse_members_inside(bundle_dir: Path, manifest: Manifest) -> None:
    """Refuse (exit 10) a bundle in which a member lies that would be taken for it, as where a command starts in its folder."""
    for seam, name in _name_members(manifest):
        if name in list_members(seam):
            _check_outside(find_member(seam, name), bundle_dir)


def _check_outside(member: Member, bundle_dir: Path) -> None:
    """Refuse (exit 10) a member whose file lies in the bundle: it would judge itself, with the rights of this user."""
    if bundle_dir.resolve() in member.path.resolve().parents:
        raise ToolchainError(
            ExitCode.SIGNATURE,
            f"the {member.seam.noun} {member.name} lies in the bundle that it would judge, and nothing in one is executed here",
            where=str(member.path),
            expected=f"{member.seam.folder} of a project of your own",
            found="a file of the bundle",
            fix="start the command in another folder than the bundle's",
        )

"""The releases of a board: where each lies, which one is active, and how one becomes it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from ..contents import check_contents_at
from ..durable import move, remove_tree
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, read_manifest
from .folder import Folder
from .in_use import is_in_use
from .shipped import check_shipped_link, find_shipped_folder, set_shipped_link
from .trust import is_bundle_id
from .verdict import VERDICTS, check_proven, read_verdict

PARTIAL = ".partial"
REPLACED = ".replaced"
REMOVED = ".removed"
CURRENT = "current"
PREVIOUS = "previous"


class Slots:
    """The folders and links under a board's ROOT."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = Folder(root)
        self.staging = root / "staging"
        self.releases = root / "releases"
        self.verdicts = root / VERDICTS
        self._releases = Folder(self.releases, within=self.folder)

    def create_folders(self) -> None:
        """Make what is not there; raises ToolchainError (exit 14) where others could change what is."""
        self.folder.create()
        for path in (self.staging, self.releases, self.verdicts):
            Folder(path, within=self.folder).create()

    def find_release(self, bundle_id: str) -> Path:
        return self.releases / bundle_id

    def find_partial(self, bundle_id: str) -> Path:
        return self.staging / (bundle_id + PARTIAL)

    def list_releases(self) -> List[str]:
        """Return the ids of what lies in releases/, sorted."""
        return [name for name in self._releases.list_names() if is_bundle_id(name)]

    def has_release(self, bundle_id: str) -> bool:
        """Return whether there is a release; a link to a folder is none."""
        try:
            return self._releases.is_folder(bundle_id)
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def hold_release(self, bundle_id: str) -> Iterator[int]:
        """Hold a release open: what is done by its descriptor is done to this very folder.

        Raises ToolchainError (exit 2) where there is none.
        """
        if not is_bundle_id(bundle_id) or not self.has_release(bundle_id):
            fix = "deploy it again; `status` lists what there is"
            raise ToolchainError(ExitCode.USAGE, f"there is no release {bundle_id}", where=str(self.releases), fix=fix)
        descriptor = self._releases.open_folder(bundle_id)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def check_held(self, bundle_id: str, held: int) -> None:
        """Refuse (exit 11) a release in whose place another folder, or a link, was put since it was opened."""
        before = os.fstat(held)
        try:
            with self.hold_release(bundle_id) as descriptor:
                is_same = os.path.samestat(os.fstat(descriptor), before)
        except (OSError, ToolchainError):
            is_same = False
        if not is_same:
            what, fix = "a release was exchanged while it was proven", "find out what did it, and deploy again"
            where, expected = str(self.find_release(bundle_id)), "the folder that was verified"
            raise ToolchainError(
                ExitCode.CONTENT, what, where=where, expected=expected, found="another one, or a link", fix=fix
            )

    def read_link(self, name: str) -> Optional[str]:
        """Return the id that `current` or `previous` names, None where it names none that is there.

        Raises ToolchainError (exit 23) for anything but a link that `switch` made.
        """
        path = self.root / name
        try:
            target = self.folder.read_link(name)
        except FileNotFoundError:  # no ROOT
            return None
        if target is None:
            return None
        folder, _, bundle_id = target.rpartition("/")
        if folder != self.releases.name or not is_bundle_id(bundle_id):
            what = f"{name} is not a link to a release"
            fix = f"move {path} away, and deploy again"
            raise ToolchainError(
                ExitCode.MALFORMED, what, where=str(path), expected="releases/BUNDLE_ID", found=target, fix=fix
            )
        return bundle_id if self.has_release(bundle_id) else None

    def switch(self, name: str, bundle_id: Optional[str]) -> None:
        """Point `current` or `previous` to a release in one step; None removes the link."""
        if bundle_id is None:
            remove_tree(self.root / name)
        else:
            self.folder.write_link(name, f"{self.releases.name}/{bundle_id}")

    def check_release(self, bundle_id: str, held: Optional[int] = None) -> Manifest:
        """Return the manifest of a release whose every byte is the manifest's; raises ToolchainError (exit 2, 11, 23).

        `held` is the folder that it was, and still has to be.
        """
        if held is None:
            with self.hold_release(bundle_id) as descriptor:
                return self.check_release(bundle_id, descriptor)
        self.check_held(bundle_id, held)
        folder = self.find_release(bundle_id)
        manifest, found = read_manifest(folder)
        if found != bundle_id:
            what = "a release's manifest is not the one that it was verified with"
            raise ToolchainError(
                ExitCode.CONTENT,
                what,
                where=str(folder),
                expected=bundle_id,
                found=found,
                fix="deploy the bundle again",
            )
        check_contents_at(held, manifest)
        self.check_held(bundle_id, held)
        return manifest

    def check_proven(self, bundle_id: str, held: Optional[int] = None) -> Manifest:
        """Do so for a release whose verdict is about these bytes, and whose link leads to the proven ones."""
        manifest = self.check_release(bundle_id, held)
        verdict = read_verdict(self.folder, bundle_id)
        if verdict is not None:  # without one nothing is claimed, and `status` says that
            check_proven(self.root, manifest, verdict)
            check_shipped_link(self.find_release(bundle_id), find_shipped_folder(manifest, verdict.shipped.path))
        return manifest

    def settle_link(self, bundle_id: str) -> None:
        """Let the link of a release lead to what its verdict says; without a verdict there is none."""
        folder = self.find_release(bundle_id)
        try:
            verdict = read_verdict(self.folder, bundle_id)
            manifest, _ = read_manifest(folder)
        except ToolchainError:  # damaged, which `status` tells; a link that cannot be judged stays as it is
            return
        shipped = None if verdict is None else find_shipped_folder(manifest, verdict.shipped.path)
        set_shipped_link(folder, self.staging, shipped)

    def is_intact(self, bundle_id: str) -> bool:
        """Return whether a release is there and every byte of it is the manifest's."""
        try:
            self.check_release(bundle_id)
        except ToolchainError:
            return False
        return True

    def place(self, bundle_id: str) -> None:
        """Move a verified bundle from staging into releases; a damaged copy of the same bundle gives way to it."""
        release = self.find_release(bundle_id)
        if os.path.lexists(str(release)):
            move(release, self.staging / (bundle_id + REPLACED))
        move(self.find_partial(bundle_id), release)

    def discard(self, path: Path) -> None:
        """Remove a release or what is staged: out of sight in one step, then bit by bit."""
        if os.path.lexists(str(path)):
            removed = self.staging / (path.name.partition(".")[0] + REMOVED)
            remove_tree(removed)
            move(path, removed)
            remove_tree(removed)

    def discard_partials(self, *, keep: str) -> None:
        """Remove interrupted uploads of other bundles than this one."""
        for path in self.staging.glob(f"*{PARTIAL}"):
            if path != self.find_partial(keep):
                self.discard(path)

    def list_removable(self, kept: Sequence[str], proven: Sequence[str]) -> List[str]:
        """Return the releases that may be removed, oldest first: neither kept nor in use by any process."""
        return [
            bundle_id
            for bundle_id in proven
            if bundle_id not in kept and self.has_release(bundle_id) and not is_in_use(self.find_release(bundle_id))
        ]

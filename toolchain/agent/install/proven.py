"""What was proven of a release, held against the bytes of its payload and the board of today: faster than `status`.

Only what an application uses is hashed: the manifest, the payload, the engine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional, Tuple

from ..bundle_files import FileEntry
from ..contents import check_file_at
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, read_manifest
from .engine_file import EngineFile, read_engine
from .expiry import list_reasons
from .shipped import check_shipped_link, find_shipped_folder
from .slots import Slots
from .trust import read_state
from .verdict import Verdict, name_proven, read_verdict


@dataclass(frozen=True)
class Proven:
    """A release and its verdict; `reasons` say why that holds no more, nothing means that it holds.

    `payload` is what fstat(2) said of the payload's file when it was hashed; None where no verdict names a payload.
    `engine` is what runs in its place where the runtime built one.
    """

    bundle_id: str
    manifest: Manifest
    verdict: Optional[Verdict]
    reasons: Tuple[str, ...]
    payload: Optional[os.stat_result]
    engine: Optional[EngineFile] = None


def read_proven(slots: Slots, bundle_id: str, held: int) -> Proven:
    """Return what was proven of a release, `held` open by its descriptor.

    Raises ToolchainError: exit 11 other bytes than the proven ones, exit 14 others could change them, exit 23 a manifest
    or verdict that cannot be read.
    """
    release = slots.find_release(bundle_id)
    manifest, found = read_manifest(release)
    if found != bundle_id:
        what = "the release's manifest is not the one that it was verified with"
        fix = "deploy the bundle again"
        raise ToolchainError(ExitCode.CONTENT, what, where=str(release), expected=bundle_id, found=found, fix=fix)
    verdict = read_verdict(slots.folder, bundle_id)
    reasons = list_reasons(slots, read_state(slots.folder), bundle_id, manifest, verdict)
    payload, engine = None, None
    if verdict is not None:
        shipped = verdict.shipped
        name_proven(manifest, verdict)
        check_shipped_link(release, find_shipped_folder(manifest, shipped.path))
        entry = FileEntry(path=shipped.path, size_bytes=shipped.size_bytes, sha256=shipped.sha256)
        payload = check_file_at(held, entry)
        for status, path in ((os.fstat(held), release), (payload, release / shipped.path)):
            slots.folder.check_owner(status, path, ExitCode.CONTENT)
        engine = None if verdict.engine is None else read_engine(slots.folder, verdict.engine)
    return Proven(bundle_id, manifest=manifest, verdict=verdict, reasons=tuple(reasons), payload=payload, engine=engine)

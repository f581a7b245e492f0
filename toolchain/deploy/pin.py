"""The pin: which payload of a bundle was proven and is shipped, beside the manifest of the copy that a deploy leaves."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from toolchain.agent.bundle_files import SHIPPED_NAME
from toolchain.agent.decode import decode, parse_json
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.judge import Shipped
from toolchain.errors import ExitCode, ToolchainError, malformed
from toolchain.run.atomic import write_atomically
from toolchain.run.regular_file import read_regular

# One has 400 bytes, and as many more as the path of its payload.
_SIZE_BYTES_MAX = 64 * 1024
_FIX = "deploy again, which decides anew"


@dataclass(frozen=True)
class Pin:
    """The content of shipped.json."""

    bundle_id: str
    shipped: Shipped


def write_pin(bundle: Path, bundle_id: str, shipped: Shipped | None) -> None:
    """Write which payload of a bundle is shipped; None removes what an earlier verdict said."""
    path = bundle / SHIPPED_NAME
    if shipped is None:
        path.unlink(missing_ok=True)
        return
    text = json.dumps(asdict(Pin(bundle_id=bundle_id, shipped=shipped)), indent=1)
    write_atomically(path, (text + "\n").encode())


def read_pin(bundle: Path) -> str | None:
    """Return the name of the candidate that a deploy proved and shipped; None for a bundle that has no verdict yet.

    Raises ToolchainError: exit 11 where the pin is of another bundle or payload, 23 where it cannot be read.
    """
    path = bundle / SHIPPED_NAME
    if not os.path.lexists(path):
        return None
    what = "what was shipped of a bundle cannot be read"
    try:
        data = read_regular(path, size_max=_SIZE_BYTES_MAX, follow=False)
        pin = cast("Pin", decode(Pin, parse_json(data, SHIPPED_NAME), SHIPPED_NAME))
    except OSError as error:
        expected = f"a regular file of at most {_SIZE_BYTES_MAX} bytes"
        raise malformed(what, where=str(path), expected=expected, found=error.strerror, fix=_FIX) from error
    except ToolchainError as error:
        raise malformed(what, where=str(path), expected=error.expected, found=error.found, fix=_FIX) from error
    manifest, bundle_id = read_manifest(bundle)
    files = {entry.path: entry for entry in manifest.files}
    shipped = pin.shipped
    own = {
        name: Shipped(**{**asdict(candidate), **asdict(files[candidate.path])})
        for name, candidate in zip(manifest.names, manifest.candidates, strict=True)
    }
    found_name = next((name for name, each in own.items() if each == shipped), None)
    if pin.bundle_id != bundle_id or found_name is None:
        found = f"{shipped.precision} of {pin.bundle_id}"
        raise ToolchainError(
            ExitCode.CONTENT,
            "the pin is of another bundle",
            where=str(path),
            expected=f"a payload of {bundle_id}",
            found=found,
            fix=_FIX,
        )
    return found_name

"""Where a deploy leaves its reports: known from the names on the command line, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolchain.agent.manifest import Manifest, read_manifest
from toolchain.agent.printable import escape_line
from toolchain.errors import ToolchainError
from toolchain.project.device import DEVICES_FILE, Device, read_devices
from toolchain.project.find import find_bundle, locate_model, locate_target

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder that one unit's results go to, and the names in its reports."""

    folder: Path
    model: str
    target: str
    may_be_made: bool
    """Whether a report makes the folder where it is not there: never for a model or target that does not exist."""


def find_places(model: str | None, *, target: str | None, device: str | None, out: Path | None) -> list[Place]:
    """Return a place for every unit, in the order that was asked for; none where the names tell no folder.

    Nothing is refused here. A device whose target cannot be told, because devices.toml cannot be read, has a place in
    every folder of its name that an earlier deploy of the model made.
    """
    bundle = find_bundle(model) if model else None
    manifest = None if bundle is None else _read_names(bundle)
    if manifest is not None:
        model_name, is_there, target = manifest.model, True, manifest.target
    else:
        model_name, recipe = locate_model(model) if model else (UNKNOWN, None)
        is_there = recipe is not None
    names = [None] if device is None else [name.strip() for name in device.split(",")]
    places = []
    for name in names:
        for target_name, path in _find_targets(model_name, target, name):
            parts = [model_name, target_name] + ([] if name is None else [name])
            is_named = model and (bundle is None or manifest is not None)
            if out is None and not (is_named and all(_is_folder_name(part) for part in parts)):
                continue
            if out is not None:
                folder = out / name if name is not None and len(names) > 1 and _is_folder_name(name) else out
            else:
                folder = Path("dist", *parts)
            exist = is_there and (path is not None or manifest is not None)
            places.append(
                Place(folder=folder, model=model_name, target=target_name, may_be_made=out is not None or exist)
            )
    return places


def _read_names(bundle: Path) -> Manifest | None:
    """Return the manifest of a bundle; None where it cannot be read, which the deploy explains."""
    with suppress(ToolchainError, OSError):
        return read_manifest(bundle)[0]
    return None


def _find_targets(model: str, asked: str | None, device: str | None) -> Sequence[tuple[str, Path | None]]:
    """Return the names and files of the targets that a unit may be deployed to: one, where anything tells which."""
    if device is None:
        return [locate_target(asked or "cpu")]
    known: dict[str, Device] = {}
    with suppress(ToolchainError):
        known = read_devices(Path.cwd() / DEVICES_FILE)
    if device in known:
        return [locate_target(known[device].target)]
    if asked is not None:
        return [(locate_target(asked)[0], None)]
    made = Path("dist", model).glob(f"*/{device}") if _is_folder_name(model) and _is_folder_name(device) else []
    return [(path.parent.name, None) for path in sorted(made)] or [(UNKNOWN, None)]


def _is_folder_name(name: str) -> bool:
    """Return whether a name is one folder below another, that can be shown: a typo must not lead out of dist/."""
    return name not in {"", ".", ".."} and escape_line(name) == name and not any(item in name for item in "/\\*?[")

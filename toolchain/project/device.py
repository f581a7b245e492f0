"""The device: one unit of a target, and how it is reached. All of them in devices.toml, which is never committed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, PrivateAttr

from toolchain.errors import ToolchainError, suggest_name, usage
from toolchain.project.toml_file import Section, check_table, read_toml

DEVICES_FILE = "devices.toml"
DEFAULT_ROOT = "~/.local/share/edge-toolchain"
# A device names a folder in dist/ and an item of `--device a,b`.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# ssh takes what begins with - for an option.
_HOST = re.compile(r"[^\s\-][^\s]*")
_ROOT = re.compile(r"(/|~/)[^\0-\x1f]+")
_EXAMPLE = (
    f'[lab-pi]\ntarget = "raspberrypi"\nhost = "lab-pi"   # a host of your ssh config; see {DEVICES_FILE} in docs'
)


class Device(Section):
    """A unit, by the name that --device takes."""

    target: str
    host: str | None = None
    """What `ssh HOST` takes: an alias of the user's own ssh config, or USER@ADDRESS."""
    labgrid: Path | None = Field(default=None, strict=False)
    """A labgrid environment file, relative to devices.toml; in place of host."""
    root: str = DEFAULT_ROOT
    """Where everything of ours lies on the board."""
    python: str = Field(default="python3", min_length=1)
    ssh_config: Path | None = Field(default=None, strict=False)
    """In place of the user's own ssh config; relative to devices.toml."""
    sign: Path | None = Field(default=None, strict=False)
    """The key that bundles for this unit are signed with; relative to devices.toml, ~ is the home folder."""
    stall_s: int = Field(default=30, ge=1)
    """A connection that gives no sign of life for so long is lost."""
    _name: str = PrivateAttr(default="")
    _folder: Path = PrivateAttr(default=Path())

    @property
    def name(self) -> str:
        return self._name

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.host or f"labgrid {self.labgrid}"

    def resolve(self, path: Path) -> Path:
        """Return a path of devices.toml as it is meant: relative to that file."""
        try:
            return self._folder / path.expanduser()
        except RuntimeError as error:
            where = f"{self._folder / DEVICES_FILE}: {self._name}"
            raise _wrong(where, "a path, ~/ for the home folder", str(path), "write the whole path") from error


def read_devices(path: Path) -> dict[str, Device]:
    """Return the devices of a devices.toml by name; none where there is no such file.

    Raises ToolchainError (exit 2) for anything wrong in it.
    """
    if not path.exists():
        return {}
    document = read_toml(path, "list of devices")
    return {name: _check_device(path, name, table) for name, table in document.items()}


def find_devices(names: str, *, path: Path | None = None) -> Sequence[Device]:
    """Return the devices of `--device a,b,c` in that order; raises ToolchainError (exit 2) for one that is not there."""
    path = path or Path.cwd() / DEVICES_FILE
    known = read_devices(path)
    asked = [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in known:
            raise _unknown(path, name, list(known))
    if len(set(asked)) < len(asked):
        raise usage(
            "a device is named twice",
            where="--device",
            expected="every device once",
            found=names,
            fix="remove one of them",
        )
    return [known[name] for name in asked]


def explain_no_devices(path: Path) -> str:
    """Return what to write where there are no devices yet."""
    return f"no devices yet: write {path}, such as\n\n{_EXAMPLE}\n\nThis machine needs none: leave --device out.\n"


def _check_device(path: Path, name: str, table: object) -> Device:
    where = f"{path}: {name}"
    if not isinstance(table, dict):
        raise usage("this is no device", where=where, expected="a table [NAME]", found=repr(table), fix="remove it")
    device = check_table(Device, table, what=f"the device {name}", where=where)
    if not _NAME.fullmatch(name):
        raise _wrong(where, "letters, digits, _ and - in its name", repr(name), "give it another name")
    if (device.host is None) == (device.labgrid is None):
        found = "neither" if device.host is None else "both"
        raise _wrong(where, "host or labgrid", found, 'write host = "ALIAS", of your ssh config')
    if device.host is not None and not _HOST.fullmatch(device.host):
        raise _wrong(f"{where}.host", "a host alias or USER@ADDRESS", repr(device.host), "correct host")
    if not _ROOT.fullmatch(device.root):
        raise _wrong(f"{where}.root", "an absolute folder, or one below ~/", repr(device.root), "correct root")
    device._name = name
    device._folder = path.parent
    return device


def _wrong(where: str, expected: str, found: str, fix: str) -> ToolchainError:
    return usage("wrong value in a device", where=where, expected=expected, found=found, fix=fix)


def _unknown(path: Path, name: str, known: Sequence[str]) -> ToolchainError:
    return usage(
        f"no device is called {name}" if name else "a device has no name",
        where=str(path),
        expected=f"one of {', '.join(known)}" if known else "a file with devices; without --device it is this machine",
        found=name,
        fix=suggest_name(
            name, known, otherwise=f"correct its spelling, or write [{name}] with target and host into {path}"
        ),
    )

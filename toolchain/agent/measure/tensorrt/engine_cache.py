"""Keeps engines on the board, and opens none but the bytes that were pinned when it was built.

An engine is as trusted as native code (TensorRT's documentation). ROOT/engines.json holds the sha256 of every engine in
ROOT/engines/; what differs from it, is cut short or was built again is an error, and never reaches TensorRT.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Collection, Dict, Mapping, Optional, Tuple, cast

from ...decode import decode, parse_json
from ...durable import write_file
from ...errors import ExitCode, ToolchainError
from ...regular import open_regular, read_regular
from .engine import Built

PINS_NAME = "engines.json"
SCHEMA = 1
_FILE_MODE = 0o600
# A pin has some 500 bytes; a timing cache some MiB for each network.
_PINS_BYTES_MAX = 16 << 20
_TIMING_BYTES_MAX = 1 << 30


@dataclass(frozen=True)
class EngineKey:
    """What an engine is good for; `options` are the shapes and the DLA that it was built for, None power is unknown."""

    bundle_id: str
    payload: str
    payload_sha256: str
    tensorrt: str
    gpu: str
    architecture: str
    power_mode: Optional[str]
    options: str

    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class Pin:
    """An engine that was built on this board: only these bytes are opened for this key."""

    key: EngineKey
    sha256: str
    size_bytes: int
    build_s: float
    gpu_fallback: Tuple[str, ...]


@dataclass(frozen=True)
class _Pins:
    schema: int
    engines: Mapping[str, Pin]


class EngineCache:
    """The engines under a board's ROOT."""

    def __init__(self, root: Path) -> None:
        self._pins_path = root / PINS_NAME
        self._folder = root / "engines"

    def find_path(self, key: EngineKey) -> Path:
        return self._folder / f"{key.digest()}.engine"

    def open(self, key: EngineKey, build: Callable[[bytes], Built]) -> Tuple[bytes, Pin, bool]:
        """Return an engine, its pin, and whether it was there; `build` makes it, given the timing cache.

        Raises ToolchainError: exit 11 an engine that is not the pinned one, exit 12 one from another version or GPU,
        exit 23 pins that cannot be read.
        """
        pins = self._read_pins()
        pin = pins.get(key.digest())
        if pin is not None:
            self._check_key(key, pin)
            return self._read_engine(pin), pin, True
        built = build(self._read_timing_cache(key))
        pin = Pin(
            key=key,
            sha256=hashlib.sha256(built.engine).hexdigest(),
            size_bytes=len(built.engine),
            build_s=round(built.build_s, 3),
            gpu_fallback=built.gpu_fallback,
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # First the engine, then its pin: should the power fail between the two, an engine without a pin is built anew.
        write_file(self.find_path(key), built.engine, mode=_FILE_MODE)
        write_file(self._find_timing_path(key), built.timing_cache, mode=_FILE_MODE)
        pins[key.digest()] = pin
        self._write_pins(pins)
        return built.engine, pin, False

    def prune(self, bundle_ids: Collection[str]) -> None:
        """Remove the engines of all bundles but these; where the pins cannot be read, all stay."""
        if not self._folder.is_dir() or self._folder.is_symlink():
            return
        try:
            pins = self._read_pins()
        except ToolchainError:  # told by the next self-test
            return
        kept = {digest: pin for digest, pin in pins.items() if pin.key.bundle_id in bundle_ids}
        # First the pins, then the engines: should the power fail between the two, an engine without a pin goes next time.
        if kept != pins:
            self._write_pins(kept)
        for path in self._folder.glob("*.engine"):
            if path.stem not in kept:
                path.unlink()

    def _write_pins(self, pins: Mapping[str, Pin]) -> None:
        document = asdict(_Pins(schema=SCHEMA, engines=pins))
        data = (json.dumps(document, sort_keys=True, indent=1) + "\n").encode("utf-8")
        write_file(self._pins_path, data, mode=_FILE_MODE)

    def _read_pins(self) -> Dict[str, Pin]:
        try:
            data = read_regular(self._pins_path, _PINS_BYTES_MAX)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._refuse_pins(str(error.strerror)) from error
        try:
            pins = cast("_Pins", decode(_Pins, parse_json(data, PINS_NAME), PINS_NAME))
            found = f"schema {pins.schema}"
        except ToolchainError as error:
            pins, found = None, f"{error.where}: {error.found}"
        if pins is None or pins.schema != SCHEMA:
            raise self._refuse_pins(found)
        return dict(pins.engines)

    def _refuse_pins(self, found: str) -> ToolchainError:
        return ToolchainError(
            ExitCode.MALFORMED,
            "the board's list of engines cannot be read",
            where=str(self._pins_path),
            expected=f"what this agent wrote, schema {SCHEMA}",
            found=found,
            fix=f"remove {self._pins_path} and deploy again: every engine is then built and proven anew",
        )

    def _check_key(self, key: EngineKey, pin: Pin) -> None:
        if pin.key == key:
            return
        wanted, found = asdict(key), asdict(pin.key)
        name = next(name for name in wanted if wanted[name] != found[name])
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "the engine was built for something else",
            where=f"{self.find_path(key)}: {name}",
            expected=str(wanted[name]),
            found=str(found[name]),
            fix=f"remove its entry from {self._pins_path} and deploy again",
        )

    def _read_engine(self, pin: Pin) -> bytes:
        path = self.find_path(pin.key)
        try:
            descriptor = open_regular(path)
        except OSError as error:
            raise self._refuse(pin, "the engine", str(error.strerror)) from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size != pin.size_bytes:
                raise self._refuse(pin, f"{pin.size_bytes} bytes", f"{found.st_size} bytes")
            # What is hashed is what is opened: nobody can change these bytes any more.
            data = file.read(pin.size_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != pin.sha256:
            raise self._refuse(pin, f"sha256 {pin.sha256}", f"sha256 {sha256}")
        return data

    def _refuse(self, pin: Pin, expected: str, found: str) -> ToolchainError:
        return ToolchainError(
            ExitCode.CONTENT,
            "the engine is not the one that was built and proven on this board",
            where=str(self.find_path(pin.key)),
            expected=expected,
            found=found,
            fix=f"find out who changed it; then remove its entry from {self._pins_path} and deploy again, which proves a new one",
        )

    def _find_timing_path(self, key: EngineKey) -> Path:
        return self._folder / f"timing-{key.tensorrt}-{key.architecture}.cache"

    def _read_timing_cache(self, key: EngineKey) -> bytes:
        try:
            return read_regular(self._find_timing_path(key), _TIMING_BYTES_MAX)
        except OSError:  # none, or nothing of ours: the build takes longer
            return b""


def find_root(bundle_dir: Path) -> Path:
    """Return where the engines of a bundle are kept: its board's ROOT, or the user's cache for a bundle elsewhere."""
    resolved = bundle_dir.resolve()
    if resolved.parent.name in ("releases", "staging"):
        return resolved.parent.parent
    return find_user_root()


def find_user_root() -> Path:
    """Return where the engines of bundles are kept that are no release of a board: in the user's cache."""
    # Path.expanduser raises for a user without a home folder, as a container or service may have.
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "edge-toolchain"  # noqa: PTH111

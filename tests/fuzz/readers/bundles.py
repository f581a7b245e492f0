"""What a bundle is made of."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from tests.fuzz.reader import Reader
from tests.made_record import make_manifest
from toolchain.agent.manifest import encode_manifest, read_manifest
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.judge import Shipped
from toolchain.deploy.pin import Pin, read_pin
from toolchain.errors import ExitCode

_MANIFEST = make_manifest()


def _read_manifest(data: bytes, folder: Path) -> object:
    (folder / "manifest.json").write_bytes(data)
    return read_manifest(folder)


def _make_pin() -> bytes:
    payload = next(entry for entry in _MANIFEST.files if entry.path == _MANIFEST.candidates[0].path)
    shipped = Shipped(
        precision="int8",
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        path=payload.path,
        size_bytes=payload.size_bytes,
        sha256=payload.sha256,
    )
    from toolchain.agent.manifest import compute_bundle_id

    pin = Pin(bundle_id=compute_bundle_id(encode_manifest(_MANIFEST)), shipped=shipped)
    return json.dumps(dataclasses.asdict(pin)).encode()


def _read_pin(data: bytes, folder: Path) -> object:
    (folder / "manifest.json").write_bytes(encode_manifest(_MANIFEST))
    (folder / "shipped.json").write_bytes(data)
    return read_pin(folder)


def _make_npy(shape: tuple[int, ...], kind: type) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(shape, kind))
    return file.getvalue()


_SAMPLES = _MANIFEST.golden.samples
_GOLDEN = {
    "golden/input-0.npy": _make_npy((_SAMPLES, 3, 8, 8), np.float32),
    "golden/output-0.npy": _make_npy((_SAMPLES, 4), np.float32),
    "golden/target-0.npy": _make_npy((_SAMPLES,), np.int64),
}


def _open_golden(data: bytes, folder: Path) -> object:
    """Put the bytes in the place of the labels, among arrays that are good."""
    (folder / "golden").mkdir()
    for path, good in _GOLDEN.items():
        (folder / path).write_bytes(data if path == "golden/target-0.npy" else good)
    return open_golden(folder, _MANIFEST)


READERS = (
    Reader("manifest", _read_manifest, (encode_manifest(_MANIFEST),)),
    Reader("pin", _read_pin, (_make_pin(),), codes=frozenset({ExitCode.CONTENT, ExitCode.MALFORMED})),
    Reader("golden array", _open_golden, (_GOLDEN["golden/target-0.npy"],)),
)

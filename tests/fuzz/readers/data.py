"""What a data set is made of."""

import gzip
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.fuzz.reader import Reader
from toolchain.data import npz
from toolchain.data.idx import read_idx
from toolchain.data.read_image import read_image

_RANDOM = np.random.default_rng(0)


def _make_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, input=_RANDOM.normal(size=(4, 3)).astype(np.float32), labels=np.arange(4))
    return file.getvalue()


def _make_compressed_npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, input=_RANDOM.integers(0, 256, (4, 3)).astype(np.uint8))
    return file.getvalue()


def _make_picture(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(_RANDOM.integers(0, 256, (9, 7, 3)).astype(np.uint8)).convert(mode).save(file, kind)
    return file.getvalue()


def _load_npz(data: bytes, folder: Path) -> object:
    (folder / "data.npz").write_bytes(data)
    return npz.load({"path": str(folder / "data.npz")})


def _read_picture(data: bytes, folder: Path) -> object:
    (folder / "picture").write_bytes(data)
    return read_image(folder / "picture", 8)


def _read_gzipped(data: bytes, folder: Path) -> object:
    (folder / "idx.gz").write_bytes(data)
    return read_idx(folder / "idx.gz", 3)


def _read_idx(data: bytes, folder: Path) -> object:
    return _read_gzipped(gzip.compress(data, mtime=0), folder)


_IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, *range(8)])
_PICTURES = tuple(map(_make_picture, ("PNG", "JPEG", "BMP", "PPM", "WEBP", "GIF", "TIFF")))

READERS = (
    Reader("npz", _load_npz, (_make_npz(), _make_compressed_npz())),
    Reader("picture", _read_picture, (*_PICTURES, _make_picture("PNG", "P"), _make_picture("PNG", "I;16"))),
    Reader("idx", _read_idx, (_IDX,)),
    Reader("gzipped idx", _read_gzipped, (gzip.compress(_IDX, mtime=0),)),
)

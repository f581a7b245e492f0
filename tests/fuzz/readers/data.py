"""What a data set is made of."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from tests.data.pictures import make_coco, write_picture
from tests.fuzz.reader import Reader
from toolchain.data import coco, csv_table, csv_text, npz, yolo_labels
from toolchain.data.idx import read_idx
from toolchain.data.read_image import read_image
from toolchain.data.read_sound import read_sound

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


def _load_coco(data: bytes, folder: Path) -> object:
    for name in ("0.png", "1.png", "2.png"):
        write_picture(folder / name)
    (folder / "train.json").write_text(json.dumps(make_coco()))
    (folder / "evaluation.json").write_bytes(data)
    options: dict[str, object] = {"width": 8, "height": 8, "points": None}
    for part in ("train", "evaluation"):
        options |= {part: str(folder / f"{part}.json"), f"{part}_pictures": str(folder)}
    return coco.load(options)


def _load_yolo(data: bytes, folder: Path) -> object:
    write_picture(folder / "pictures/0.png")
    (folder / "labels").mkdir()
    (folder / "labels/0.txt").write_bytes(data)
    pictures, labels = str(folder / "pictures"), str(folder / "labels")
    options = {"width": 8, "height": 8, "names": ["a", "b"], "train": pictures, "train_labels": labels}
    return yolo_labels.load({**options, "evaluation": pictures, "evaluation_labels": labels})


def _load_table(data: bytes, folder: Path) -> object:
    (folder / "a.csv").write_bytes(data)
    return csv_table.load({"train": str(folder / "a.csv"), "evaluation": str(folder / "a.csv"), "label": "y"})


def _load_text(data: bytes, folder: Path) -> object:
    (folder / "a.csv").write_bytes(data)
    return csv_text.load({"train": str(folder / "a.csv"), "evaluation": str(folder / "a.csv")})


def _read_sound(data: bytes, folder: Path) -> object:
    (folder / "a.wav").write_bytes(data)
    return read_sound(folder / "a.wav", 100)


def _make_sound(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, _RANDOM.uniform(-1, 1, 50), 8000, format="WAV", subtype=kind)
    return file.getvalue()


_IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, *range(8)])
_PICTURES = tuple(map(_make_picture, ("PNG", "JPEG", "BMP", "PPM", "WEBP", "GIF", "TIFF")))

READERS = (
    Reader("npz", _load_npz, (_make_npz(), _make_compressed_npz())),
    Reader("picture", _read_picture, (*_PICTURES, _make_picture("PNG", "P"), _make_picture("PNG", "I;16"))),
    Reader("idx", _read_idx, (_IDX,)),
    Reader("coco", _load_coco, (json.dumps(make_coco()).encode(), json.dumps(make_coco(1), indent=1).encode())),
    Reader("yolo labels", _load_yolo, (b"0 0.5 0.5 0.1 0.1\n1 0.25 0.25 0.5 0.5\n",)),
    Reader("csv table", _load_table, (b"a,b,y\n1,2.5,0\n-3e5,4,1\n", b'a,y\r\n"1",0\r\n')),
    Reader("csv text", _load_text, (b'text,label\nhallo,0\n"a ""b"", c",1\n',)),
    Reader("sound", _read_sound, tuple(map(_make_sound, ("PCM_16", "FLOAT", "ULAW")))),
    Reader("gzipped idx", _read_gzipped, (gzip.compress(_IDX, mtime=0),)),
)

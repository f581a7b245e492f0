"""What is no ONNX file at all."""

import gzip
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.hostile_models.family import Family
from tests.hostile_models.parts import good


class _Touch:
    """Whoever unpickles this writes a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("touch pickle_was_loaded",))


def _zip(_: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Touch()))
    return file.getvalue()


def _npy(_: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(9))
    return file.getvalue()


_SAFETENSORS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
_CONTENTS: Mapping[str, bytes] = {
    "empty": b"",
    "words": b"no model at all, only words\n" * 20,
    "utf16": "no model at all".encode("utf-16"),
    "pickle": pickle.dumps(_Touch()),
    "html": b"<!DOCTYPE html><html>404</html>",
    "git_lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "program": b"\x7fELF" + bytes(200),
    "gguf": b"GGUF" + bytes(200),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(200),
    "onnxruntime_format": struct.pack("<I", 24) + b"ORTM" + bytes(2000),
    "tflite": struct.pack("<I", 28) + b"TFL3" + bytes(2000),
    "safetensors": struct.pack("<Q", len(_SAFETENSORS)) + _SAFETENSORS + bytes(4),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "python": b"import os\nos.system('touch python_was_run')\n",
}

FAMILY = Family("other_files", good)
for _name, _content in _CONTENTS.items():
    FAMILY.add(_name, "a file of another format", lambda _, content=_content: content)
FAMILY.add("zip_of_pickle", "a checkpoint of PyTorch that runs a command once loaded", _zip)
FAMILY.add("npy", "an array of numpy", _npy)
FAMILY.add("gzip", "a model that is packed", lambda _: gzip.compress(good().SerializeToString()))
FAMILY.add("missing", "no file", lambda _: None)
FAMILY.add("folder", "a folder", lambda path: path.mkdir())
FAMILY.add("fifo", "a pipe that nobody writes to hangs who reads it", os.mkfifo)
FAMILY.add("link_loop", "a link to itself", lambda path: path.symlink_to(path.name))


@FAMILY.kind("3 GiB of nothing")
def _hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 2**30)

"""What a model is made of."""

import argparse
import io
import tempfile
from pathlib import Path
from unittest import mock

import onnx
import onnx.parser
import torch
from safetensors.torch import save
from torch import nn

from tests.fuzz.reader import Reader
from toolchain.graph.file import read_onnx
from toolchain.graph.learned_ranges import LearnedRanges, read_ranges
from toolchain.module.checkpoints.read import read_checkpoint
from toolchain.module.structure import AddBias, FixWeights, LearnedRange, SetGroups, ToIdentity, dump_edits, parse_edits
from toolchain.module.weights import load_weights
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.progress import Progress

_SILENT = Progress(stream=io.StringIO(), quiet=True)

_ONNX = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 17]>
    net (float[N,3,4,4] x) => (float[N,2,4,4] y) <float[2,3,1,1] w = {1, 2, 3, 4, 5, 6}> { y = Conv (x, w) }""")
_EXTERNAL = onnx.ModelProto.FromString(_ONNX.SerializeToString())
_EXTERNAL.graph.initializer[0].CopyFrom(
    onnx.TensorProto(name="w", data_type=1, dims=[2, 3, 1, 1], data_location=onnx.TensorProto.EXTERNAL)
)
_EXTERNAL.graph.initializer[0].external_data.add(key="location", value="weights.bin")
_EXTERNAL.graph.initializer[0].external_data.add(key="length", value="24")

_EDITS = dump_edits(
    [
        *(ToIdentity(module="1"), AddBias(module="0"), SetGroups(module="0", groups=1), FixWeights(module="2", bits=4)),
        LearnedRange(node="conv2d", low=-1.0, high=1.0),
    ]
)


def _build_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def _make_weights(*, edited: bool) -> bytes:
    tensors = {name: value.contiguous() for name, value in _build_net().state_dict().items()}
    if edited:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("1.")}
        tensors["0.bias"] = torch.zeros(4)
    return save(tensors, metadata={"edge_toolchain.edits": _EDITS} if edited else None)


def _read_onnx(data: bytes, folder: Path) -> object:
    (folder / "model.onnx").write_bytes(data)
    (folder / "weights.bin").write_bytes(b"\0" * 24)
    path = folder / "model.onnx"
    limits = Limits(model_bytes=measure_files([path]))
    with mock.patch.object(tempfile, "tempdir", str(folder)):
        return confine(lambda _: len(read_onnx(path).graph.node), limits=limits, progress=_SILENT, where=str(path))


def _save_checkpoint() -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": _build_net().state_dict(), "epoch": 3, "args": argparse.Namespace(lr=0.1)}, file)
    return file.getvalue()


def _read_checkpoint(data: bytes, folder: Path) -> object:
    (folder / "best.ckpt").write_bytes(data)
    with mock.patch.object(tempfile, "tempdir", str(folder)):
        return read_checkpoint(folder / "best.ckpt", folder, progress=_SILENT)


def _load_weights(data: bytes, folder: Path) -> object:
    (folder / "weights.safetensors").write_bytes(data)
    return load_weights(_build_net(), folder / "weights.safetensors")


def _load_edited(data: bytes, folder: Path) -> object:
    """Put the bytes where the edits are, in a file that is good otherwise."""
    tensors = {name: value.contiguous() for name, value in _build_net().state_dict().items()}
    text = data.decode("utf-8", errors="replace")
    (folder / "weights.safetensors").write_bytes(save(tensors, metadata={"edge_toolchain.edits": text}))
    return load_weights(_build_net(), folder / "weights.safetensors")


def _read_ranges(data: bytes, folder: Path) -> object:
    del folder
    model = onnx.ModelProto.FromString(_ONNX.SerializeToString())
    model.metadata_props.add(key="edge_toolchain.ranges", value=data.decode("utf-8", errors="replace"))
    return read_ranges(model)


_RANGES = LearnedRanges(tensors={"x": (-1.0, 1.0), "y": (0.0, 2.0)}, weight_bits=8).model_dump_json().encode()
_FREE_EDITS = dump_edits([SetGroups(module="0", groups=1), LearnedRange(node="conv2d", low=-1.0, high=1.0)]).encode()

READERS = (
    Reader("onnx", _read_onnx, (_ONNX.SerializeToString(), _EXTERNAL.SerializeToString()), is_slow=True),
    Reader("checkpoint", _read_checkpoint, (_save_checkpoint(), _make_weights(edited=False)), is_slow=True),
    Reader("weights", _load_weights, (_make_weights(edited=False), _make_weights(edited=True))),
    Reader("edits", _load_edited, (_FREE_EDITS,)),
    Reader("edits alone", lambda data, _: parse_edits(data.decode("utf-8", "replace"), where="x"), (_EDITS.encode(),)),
    Reader("learned ranges", _read_ranges, (_RANGES,)),
)

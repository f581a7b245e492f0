"""Weights in other files: other places than beside the model, places that lie, and small files that become large."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from tests.hostile_models.family import Family, Maker
from tests.hostile_models.parts import WEIGHTS, conv, model, node, sum_into

_BYTES = 4 * 108


def _tensor(name: str = "w", dims: tuple[int, ...] = (4, 3, 3, 3), kind: int = TensorProto.FLOAT, **keys: object):
    tensor = TensorProto(name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, text in keys.items():
        tensor.external_data.add(key=key, value=str(text))
    return tensor


def _write_weights(path: Path, count: int = 108) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.full(count, 0.1, np.float32).tobytes())


def _good(path: Path) -> onnx.ModelProto:
    _write_weights(path.parent / "weights.bin", 112)
    return model(
        [conv(made="t"), node("Add", ["t", "b"], ["out"])],
        [
            _tensor(location="weights.bin", offset=0, length=_BYTES),
            _tensor("b", (4, 1, 1), location="weights.bin", offset=_BYTES, length=16),
        ],
    )


FAMILY = Family("external_data", _good)


def _keys(**keys: object) -> Maker:
    def make(path: Path) -> onnx.ModelProto:
        _write_weights(path.parent / "weights.bin")
        return model([conv()], [_tensor(**{"location": "weights.bin", **keys})])

    return make


_PLACES: Mapping[str, str] = {
    "absolute": "/etc/passwd",
    "memory": "/proc/self/mem",
    "device": "/dev/zero",
    "parent": "../weights.bin",
    "parent_hidden": "data/../../weights.bin",
    "backslash": "..\\weights.bin",
    "drive": "C:weights.bin",
    "empty": "",
    "dot": ".",
    "missing": "none.bin",
    "newline": "weights.bin\n\x1b[31mX",
    "nul": "weights\0.bin",
    "too_long": "w" * 4000,
    "too_deep": "w/" * 2000 + "w",
    "memory_address": "*/_ORT_MEM_ADDR_/*",
}
for _name, _place in _PLACES.items():
    FAMILY.add(f"place_{_name}", "a location that is no file beside the model", _keys(location=_place))

_SLICES: Mapping[str, Mapping[str, object]] = {
    "offset_negative": {"offset": "-4"},
    "offset_beyond": {"offset": "4"},
    "offset_huge": {"offset": 2**63},
    "offset_5000_digits": {"offset": "9" * 5000},
    "offset_underscore": {"offset": "1_0"},
    "offset_other_digits": {"offset": "\u0663"},
    "length_negative": {"length": "-432"},
    "length_short": {"length": "4"},
    "length_long": {"length": "433"},
    "length_words": {"length": "all"},
    "key_unknown": {"__class__": "x"},
}
for _name, _keys_of in _SLICES.items():
    FAMILY.add(_name, "a slice that is not the tensor's", _keys(**_keys_of))


@FAMILY.kind("one key with two values")
def _key_twice(path: Path) -> onnx.ModelProto:
    made = _keys()(path)
    made.graph.initializer[0].external_data.add(key="location", value="other.bin")
    return made


def _special(name: str, why: str, put: Maker) -> None:
    def make(path: Path) -> onnx.ModelProto:
        _write_weights(path.parent / "weights.bin")
        put(path.parent / "special")
        return model([conv()], [_tensor(location="special/passwd" if name == "link_folder" else "special")])

    FAMILY.add(name, why, make)


def _listen(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has 108 bytes
    listener.bind(path.name)
    os.chdir(here)
    listener.close()


_special("link", "a symbolic link is followed", lambda path: path.symlink_to("weights.bin"))
_special("link_dangling", "a link to nothing", lambda path: path.symlink_to("nowhere"))
_special("link_loop", "a link to itself", lambda path: path.symlink_to("special"))
_special("link_folder", "a link to a folder outside", lambda path: path.symlink_to("/etc"))
_special("link_hard", "a hard link to somebody's file", lambda path: path.hardlink_to(path.parent / "weights.bin"))
_special("fifo", "a pipe that nobody writes to hangs who reads it", os.mkfifo)
_special("folder", "a folder", lambda path: path.mkdir())
_special("socket", "a socket", _listen)


@FAMILY.kind("the model's own bytes as its weights")
def _itself(path: Path) -> onnx.ModelProto:
    made = model([conv()], [_tensor(location=path.name, offset=0, length=_BYTES)])
    made.doc_string = "x" * 1000
    return made


@FAMILY.kind("a small file that is read as often as the model likes")
def _overlap_2000(path: Path) -> onnx.ModelProto:
    _write_weights(path.parent / "weights.bin", 2**18)
    tensors = [_tensor(f"w{index}", (2**18,), location="weights.bin", offset=0, length=2**20) for index in range(2000)]
    return model([conv()], [WEIGHTS, *tensors])


@FAMILY.kind("slices that overlap by some bytes")
def _overlap_partly(path: Path) -> onnx.ModelProto:
    _write_weights(path.parent / "weights.bin", 116)
    tensors = [_tensor(location="weights.bin"), _tensor("b", (4, 1, 1), location="./weights.bin", offset=_BYTES - 4)]
    return model([conv(made="t"), node("Add", ["t", "b"], ["out"])], tensors)


@FAMILY.kind("elements that add up to 4 GiB, in a file that says it has as many")
def _adds_up(path: Path) -> onnx.ModelProto:
    with (path.parent / "weights.bin").open("wb") as file:
        file.truncate(2**32)
    tensors = [_tensor(f"w{index}", (2**26,), location="weights.bin", offset=index * 2**28) for index in range(16)]
    return model([conv()], [WEIGHTS, *tensors])


@FAMILY.kind("a hole of 2 GiB, which takes no place on the disk")
def _hole(path: Path) -> onnx.ModelProto:
    with (path.parent / "weights.bin").open("wb") as file:
        file.truncate(2**31 - 2**20)
    big = _tensor("big", (2**29 - 2**18,), location="weights.bin")
    return model(
        [node("Gather", ["big", "zero"], ["b"]), *sum_into("b")],
        [big, TensorProto(name="zero", data_type=7, dims=[1], int64_data=[0])],
    )


@FAMILY.kind("a tensor that declares more than the file has")
def _declares_more(path: Path) -> onnx.ModelProto:
    _write_weights(path.parent / "weights.bin")
    return model([conv()], [_tensor(dims=(2**20, 2**9), location="weights.bin")])


@FAMILY.kind("half a byte too few")
def _int4_short(path: Path) -> onnx.ModelProto:
    (path.parent / "weights.bin").write_bytes(bytes(53))
    tensor = _tensor(kind=TensorProto.INT4, location="weights.bin")
    return model([node("Cast", ["w"], ["wf"], to=1), node("Conv", ["input", "wf"], ["out"])], [tensor])


@FAMILY.kind("strings have no raw form")
def _strings(path: Path) -> onnx.ModelProto:
    _write_weights(path.parent / "weights.bin")
    return model([conv()], [WEIGHTS, _tensor("s", kind=TensorProto.STRING, location="weights.bin")])


@FAMILY.kind("a place outside, in the value of a Constant")
def _in_constant(path: Path) -> onnx.ModelProto:
    del path
    return model([node("Constant", [], ["w"], value=_tensor("", location="/etc/passwd")), conv()], [])


@FAMILY.kind("a place outside, in a function")
def _in_function(path: Path) -> onnx.ModelProto:
    del path
    constant = node("Constant", [], ["w"], value=_tensor("", location="../weights.bin"))
    body = [constant, node("Conv", ["a", "w"], ["b"], pads=[1] * 4)]
    opsets = [onnx.helper.make_opsetid("", 21)]
    function = onnx.helper.make_function("local", "f", ["a"], ["b"], body, opsets)
    return model([node("f", ["input"], ["out"], domain="local")], [], functions=[function], domains=[("local", 1)])

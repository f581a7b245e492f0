"""Reads a checkpoint that somebody else wrote: every table of named tensors in it, and the names of what else it holds.

It happens in a confined process (toolchain/run/confine), by torch's unpickler for weights alone, which runs no code: a class
that only keeps the books of a training is put aside, and any other is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

# All here: in the confined process their libraries would count against the limit on its address space.
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from toolchain.errors import ToolchainError, first_line, malformed, usage
from toolchain.module.checkpoints.refusal import explain_class, explain_zip, list_classes
from toolchain.module.weights import EDITS_KEY
from toolchain.run.confine import inside
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.regular_file import open_regular

if TYPE_CHECKING:
    from toolchain.run.confine.child import Relay
    from toolchain.run.progress import Progress

# What torch.save writes since 1.6, and before.
_ZIP_START, _PICKLE_START = b"PK\x03\x04", b"\x80"
# Tables lie in tables: {"ema": {"module": {...}}} has two levels, and Lightning's loops have five.
_DEPTH_MAX = 8
_SHOWN_MAX = 12

# What trainings keep beside their weights. Nothing of it is imported: a placeholder stands for each.
_BOOKS = (
    "argparse.", "datetime.", "lightning.", "lightning_fabric.", "lightning_utilities.", "ml_collections.", "numpy.",
    "omegaconf.", "pathlib.", "pytorch_lightning.", "types.SimpleNamespace", "_codecs.encode", "torch.torch_version.",
)  # fmt: skip
# Those of them that are dicts, which the unpickler fills as such.
_DICTS = ("AttributeDict", "ConfigDict")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of tensors by name in a checkpoint."""

    place: str
    """The keys that lead to it, joined by /; "" is the file itself."""
    file: Path
    """A safetensors file of it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds."""

    tables: tuple[Table, ...]
    left_out: tuple[str, ...]
    """What is no table of tensors, in words."""


def read_checkpoint(path: Path, folder: Path, *, progress: Progress) -> Checkpoint:
    """Return the tables of a checkpoint, written into a folder as safetensors files.

    Raises ToolchainError: no file that can be read (exit 2); one that is corrupt, unsafe or no checkpoint (exit 23).
    """
    start = _read_start(path)

    def work(_relay: Relay) -> Any:
        return _read_apart(path, start, folder)

    found = confine(work, limits=Limits(model_bytes=measure_files([path])), progress=progress, where=str(path))
    return Checkpoint(
        tables=tuple(Table(place=place, file=folder / file) for place, file in found["tables"]),
        left_out=tuple(found["left_out"]),
    )


def _read_start(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            start = file.read(9)
    except OSError as error:
        raise usage(
            "the checkpoint cannot be read",
            where=str(path),
            expected="a file of weights that you may read",
            found=error.strerror,
            fix="name the file that the training wrote, such as best.ckpt",
        ) from error
    if not start:
        raise _refuse_corrupt(path, "0 bytes")
    return start


def _read_apart(path: Path, start: bytes, folder: Path) -> dict[str, Any]:
    with inside.step("reading the checkpoint"):
        if start[8:] == b"{":
            content: Any = _read_safetensors(path)
        elif start.startswith((_ZIP_START, _PICKLE_START)):
            content = _unpickle(path, is_zip=start.startswith(_ZIP_START))
        else:
            raise _refuse_corrupt(path, f"a file that begins with {start[:8]!r}")
        left_out: list[str] = []
        tables = list(_find_tables(content, (), left_out))
    if not tables:
        raise malformed(
            "there are no named weights in the file",
            where=str(path),
            expected="a state dict: tensors by name",
            found="; ".join(left_out[:_SHOWN_MAX]) or type(content).__name__,
            fix="save them where the model was trained: torch.save(model.state_dict(), 'weights.pt')",
        )
    written = []
    for number, (place, tensors) in enumerate(tables):
        with inside.step(f"writing {place or 'the weights'}"):
            save_file(_plain_tensors(tensors, path, place), folder / f"{number}.safetensors")
        written.append([place, f"{number}.safetensors"])
    return {"tables": written, "left_out": left_out}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            if EDITS_KEY in (file.metadata() or {}):
                raise usage(
                    "these weights are of a model that the toolchain compressed",
                    where=str(path),
                    expected="a checkpoint of the model as its builder returns it",
                    found="edits of the model in the file's header, which would be lost",
                    fix="name the file itself in model.weights of a recipe",
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError, KeyError) as error:  # KeyError: a dtype that torch does not have
        raise _refuse_corrupt(path, first_line(error)) from error


def _unpickle(path: Path, *, is_zip: bool) -> Any:
    # All of a zip file's at once; each of an old pickle costs an attempt.
    kept = {name: _put_aside(name, path, is_zip=is_zip) for name in (list_classes(path) if is_zip else ())}
    while True:
        try:
            allowed = [(stand_in, name) for name, stand_in in kept.items()]
            with open_regular(path) as file, torch.serialization.safe_globals([*allowed]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError, OSError, AttributeError, TypeError,
                AssertionError, zipfile.BadZipFile) as error:  # fmt: skip
            name = _find_unknown_class(error)
            if name is None:
                raise (explain_zip(path) if is_zip else None) or _refuse_corrupt(path, _describe(error)) from error
            if name in kept:
                raise explain_class(name, path, is_zip=is_zip) from error
            kept[name] = _put_aside(name, path, is_zip=is_zip)


def _put_aside(name: str, path: Path, *, is_zip: bool) -> type:
    """Return what stands for a class of the books; raises ToolchainError (exit 23) for any other."""
    if not name.startswith(_BOOKS):
        raise explain_class(name, path, is_zip=is_zip)
    return OrderedDict if name.endswith(_DICTS) else _make_placeholder()


def _find_unknown_class(error: BaseException) -> str | None:
    """Return the class or function that torch's unpickler refuses, by its message."""
    text = str(error)
    for before, behind in (("Unsupported global: GLOBAL ", " was not"), ("unsupported GLOBAL ", " whose module")):
        if before in text and behind in text:
            return text.partition(before)[2].partition(behind)[0]
    return None


def _make_placeholder() -> type:
    """Return a class of its own for one name: it takes any arguments and state, and does nothing."""

    class LeftOut:
        def __new__(cls, *_: object) -> Self:
            return object.__new__(cls)

        def __init__(self, *_: object) -> None: ...

        def __setstate__(self, state: object) -> None: ...

        def __hash__(self) -> int:
            return id(self)

    return LeftOut


def _describe(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch's own advice is to read it with weights_only=False, which runs what is in it.
    lines = [line for line in lines if "weights_only" not in line and "add_safe_globals" not in line]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _find_tables(value: Any, place: tuple[str, ...], left_out: list[str]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every mapping that holds tensors under texts, but for what an optimizer keeps."""
    name = "/".join(place)
    if not isinstance(value, Mapping):
        left_out.append(f"{name} ({type(value).__name__})" if name else type(value).__name__)
        return
    if {"state", "param_groups"} <= value.keys() or (place and place[-1].startswith("optimizer")):
        left_out.append(f"{name} (of an optimizer)")
        return
    tensors = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, torch.Tensor)}
    if tensors:
        yield name, tensors
    for key, item in value.items():
        inner = (*place, str(key).replace("/", "_"))
        if isinstance(item, torch.Tensor):
            if not isinstance(key, str):
                left_out.append(f"{'/'.join(inner)} (a tensor without a name)")
            continue
        if isinstance(item, Mapping) and item and len(inner) <= _DEPTH_MAX:
            yield from _find_tables(item, inner, left_out)
        else:
            kind = "None" if item is None else type(item).__name__
            left_out.append("/".join(inner) + ("" if kind == "LeftOut" else f" ({kind})"))


def _plain_tensors(tensors: Mapping[str, Tensor], path: Path, place: str) -> dict[str, Tensor]:
    """Return the tensors as safetensors can hold them: dense ones with memory of their own."""
    plain = {}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise malformed(
                "a weight is of a kind that no weights file holds",
                where=f"{path}: {place}.{name}" if place else f"{path}: {name}",
                expected="a dense tensor of numbers",
                found=f"{tensor.device}, {tensor.dtype}, {tensor.layout}",
                fix="save the float model's state dict, from before quantization: dense tensors on the CPU",
            )
        plain[name] = tensor.detach().contiguous().clone()
    return plain


def _refuse_corrupt(path: Path, found: str) -> ToolchainError:
    return malformed(
        "the file is no checkpoint, or a broken one",
        where=str(path),
        expected="what torch.save writes, or a safetensors file",
        found=found,
        fix="copy it again, or save it again where the model was trained: torch.save(model.state_dict(), 'weights.pt')",
    )

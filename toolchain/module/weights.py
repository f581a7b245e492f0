"""Weights on disk: safetensors in, safetensors out, and beside them where they come from.

The weights of a compressed model carry its edits (toolchain/module/structure.py) in their header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from toolchain.agent.printable import encode_json
from toolchain.errors import malformed, missing, usage
from toolchain.module.structure import Edit, apply_edit, dump_edits, fit_shapes, parse_edits
from toolchain.run.atomic import write_atomically

# First bytes of what torch.save, pickle.dump and legacy torch write.
_PICKLE_STARTS = {b"PK\x03\x04": "a zip file with a pickle in it, as torch.save writes it", b"\x80": "a pickle"}

_LISTED_MAX = 3  # enough to recognize the mistake
EDITS_KEY = "edge_toolchain.edits"


def load_weights(model: nn.Module, path: Path) -> list[Edit]:
    """Load a safetensors file into the model, in place; return the edits of a compressed model, made before.

    Tied weights may stand in the file once. Raises ToolchainError: no such file (exit 3); a pickle, a corrupt file,
    other names, shapes or types than the model's, values that are not finite (exit 23); a model with state that no
    weights file can hold (exit 2).
    """
    if not path.is_file():
        raise missing(f"there are no weights at {path}", fix=_how_to_get(path))
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError, KeyError) as error:  # KeyError: a dtype that torch does not have
        raise malformed(
            "the weights are corrupt",
            where=str(path),
            expected="a safetensors file",
            found=str(error),
            fix=_how_to_get(path),
        ) from error
    edits: list[Edit] = []
    if EDITS_KEY in header:
        edits = parse_edits(header[EDITS_KEY], where=str(path))
        for edit in edits:
            apply_edit(model, edit, where=str(path))
        fit_shapes(model, tensors)
    expected = read_state(model)
    tied = find_tied(expected)
    fill_tied(tensors, tied)
    _check_tensors(path, expected, tensors)
    _check_tied(path, tensors, tied)
    model.load_state_dict(tensors)
    return edits


def save_weights(
    model: nn.Module, path: Path, provenance: Mapping[str, Any], *, edits: Sequence[Edit] | None = None
) -> str:
    """Write the weights to path and their provenance to a .json beside it; return the sha256 of the weights.

    edits: of a compressed model; None for one that is as its builder returns it.

    Raises ToolchainError (exit 14) when the disk is full or not writable; nothing half-written is left.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in read_state(model).items()}
    content = save(tensors, metadata=None if edits is None else {EDITS_KEY: dump_edits(edits)})
    sha256 = hashlib.sha256(content).hexdigest()
    write_atomically(path, content)
    text = encode_json({**provenance, "weights_sha256": sha256}, indent=2)
    write_atomically(path.with_suffix(".json"), f"{text}\n".encode())
    return sha256


def read_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors by name; raises ToolchainError (exit 2) for state that no weights file can hold."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise usage(
                "the module keeps state that is no tensor",
                where=f"model.build: {name}",
                expected="parameters and buffers",
                found=type(value).__name__,
                fix="keep it in an attribute that the builder sets, and not in get_extra_state",
            )
        if is_lazy(value):
            raise usage(
                "a lazy module has no shape yet",
                where=f"model.build: {name}",
                expected="a module that has run",
                found=type(value).__name__,
                fix="give its shape in place of the lazy one",
            )
    return state


def find_tied(state: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the groups of names that are one and the same tensor."""
    groups: dict[object, list[str]] = {}
    for name, tensor in state.items():
        if tensor.numel():
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            groups.setdefault(key, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def fill_tied(tensors: dict[str, Tensor], tied: Sequence[Sequence[str]]) -> None:
    """Give every name of a tied tensor what the file has under one of them, as safetensors.save_model writes it."""
    for names in tied:
        present = [name for name in names if name in tensors]
        if present:
            tensors.update({name: tensors[present[0]] for name in names if name not in tensors})


def _check_tied(path: Path, tensors: Mapping[str, Tensor], tied: Sequence[Sequence[str]]) -> None:
    """Refuse two values for one tensor: the model could only have the one that is loaded last."""
    for names in tied:
        for name in names[1:]:
            if not torch.equal(tensors[name], tensors[names[0]]):
                raise malformed(
                    "the weights are of another model: it ties two weights that differ in the file",
                    where=str(path),
                    expected=f"{name} equal to {names[0]}",
                    found="other values",
                    fix="build the model without tying them, or bring the weights of this model",
                )


def _how_to_get(path: Path) -> str:
    readme = path.parent / "README.md"
    return f"make train MODEL={path.parent.name}" + (f", or see {readme}" if readme.is_file() else "")


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        return  # a safetensors file, whose length of header may begin as a pickle does
    for prefix, kind in _PICKLE_STARTS.items():
        if start.startswith(prefix):
            raise malformed(
                "the weights are refused: reading a pickle executes the code in it",
                where=str(path),
                expected="a safetensors file",
                found=kind,
                fix=f"toolchain convert {path} --model MODEL -o NEW.safetensors makes one of it without running code; name "
                "that in model.weights of the recipe",
            )


def _check_tensors(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if expected.keys() != found.keys():
        raise malformed(
            "the weights are of another model: their names differ",
            where=str(path),
            expected=f"also {_list_first(sorted(expected.keys() - found.keys()))}",
            found=f"also {_list_first(sorted(found.keys() - expected.keys()))}",
            fix="check model.build_options in the recipe; `toolchain convert` takes prefixes off names, and tables apart",
        )
    differing = [
        name
        for name, tensor in found.items()
        if tensor.shape != expected[name].shape or not is_exact(tensor.dtype, expected[name].dtype)
    ]
    if differing:
        raise malformed(
            "the weights are of another model: shapes or types differ",
            where=str(path),
            expected=_list_first([f"{name} {_describe(expected[name])}" for name in differing]),
            found=_list_first([f"{name} {_describe(found[name])}" for name in differing]),
            fix="check model.build_options in the recipe, such as num_classes",
        )
    broken = [name for name, tensor in found.items() if not is_finite(tensor, expected[name])]
    if broken:
        raise malformed(
            "the weights hold NaN or infinity",
            where=str(path),
            expected="finite values",
            found=_list_first(broken),
            fix="train again with a smaller learning rate, or bring a good file",
        )


def is_finite(found: Tensor, built: Tensor) -> bool:
    """Return whether a tensor holds no NaN, and infinities only where the builder puts the same, as in a mask."""
    wrong = ~torch.isfinite(found)
    return not bool(wrong.any()) or torch.equal(found[wrong], built[wrong].to(found.dtype))


def is_exact(found: torch.dtype, expected: torch.dtype) -> bool:
    """Return whether a value of one type is kept exactly in the other: float16 in float32 is."""
    same_kind = found.is_floating_point == expected.is_floating_point
    return same_kind and torch.promote_types(found, expected) == expected


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _list_first(names: list[str]) -> str:
    if not names:
        return "nothing"
    rest = len(names) - _LISTED_MAX
    return ", ".join(names[:_LISTED_MAX]) + (f" and {rest} more" if rest > 0 else "")

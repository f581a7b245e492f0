"""How a compressed model differs from what its builder returns, as data: edits in the header of its weights file.

A structured pruning leaves other shapes, a removed block leaves an identity. With these edits the builder's model
takes the weights again, and no pickle is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from toolchain.errors import malformed
from toolchain.toml_file import Section


class ToIdentity(Section):
    """A module that was folded into another one, or a block that was removed."""

    edit: Literal["identity"] = "identity"
    module: str


class ToRelu(Section):
    """A bounded activation that became a plain Relu."""

    edit: Literal["relu"] = "relu"
    module: str


class AddBias(Section):
    """A convolution or linear layer that got a bias."""

    edit: Literal["bias"] = "bias"
    module: str


class SetGroups(Section):
    """A grouped convolution that lost groups."""

    edit: Literal["groups"] = "groups"
    module: str
    groups: int


class KeepZeros(Section):
    """A layer whose zeros are wanted: they stay through every fine-tuning."""

    edit: Literal["keep_zeros"] = "keep_zeros"
    module: str


class FixWeights(Section):
    """A layer whose weights are on a grid or in a codebook of 2^bits values: no training may move them."""

    edit: Literal["fixed"] = "fixed"
    module: str
    bits: int


class LearnedRange(Section):
    """The range that quantization-aware training has learned for the tensor that a node of the traced model returns."""

    edit: Literal["range"] = "range"
    node: str
    low: float
    high: float


Edit = Annotated[
    ToIdentity | ToRelu | AddBias | SetGroups | KeepZeros | FixWeights | LearnedRange, Field(discriminator="edit")
]
_EDITS = TypeAdapter(list[Edit])


def dump_edits(edits: Sequence[Edit]) -> str:
    """Return the edits as JSON."""
    return json.dumps([edit.model_dump() for edit in edits])


def parse_edits(text: str, *, where: str) -> list[Edit]:
    """Return the edits in a JSON text; raises ToolchainError (exit 23) where they are not that."""
    try:
        return _EDITS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise malformed(
            "the structure of the compressed model is corrupt",
            where=f"{where}: {'.'.join(str(part) for part in first['loc'])}",
            found=first["msg"],
            fix="compress the model again",
        ) from error


def apply_edit(model: nn.Module, edit: Edit, *, where: str = "structure") -> None:
    """Change the model in place; learned ranges and what only informs change nothing here.

    Raises ToolchainError (exit 23) where the model has no such module: the weights are of another model.
    """
    if isinstance(edit, LearnedRange):
        return
    try:
        module = model.get_submodule(edit.module)
    except AttributeError as error:
        raise malformed(
            "the compressed weights are of another model",
            where=where,
            expected=f"a module {edit.module}",
            found="none",
            fix="check model.build and model.build_options in the recipe, or compress again",
        ) from error
    if isinstance(edit, ToIdentity):
        model.set_submodule(edit.module, nn.Identity())
    elif isinstance(edit, ToRelu):
        model.set_submodule(edit.module, nn.ReLU(inplace=bool(getattr(module, "inplace", False))))
    elif isinstance(edit, AddBias) and isinstance(module, nn.Conv2d | nn.Linear) and module.bias is None:
        module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]))
    elif isinstance(edit, SetGroups) and isinstance(module, nn.Conv2d):
        module.groups = edit.groups


def fit_shapes(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the model's convolutions, linear and normalization layers the shapes of these tensors, in place.

    Tensors that the model does not have, and layers of other kinds, are left for the loading of weights to refuse.
    """
    for name, module in model.named_modules():
        weight = tensors.get(f"{name}.weight" if name else "weight")
        if weight is None or not isinstance(getattr(module, "weight", None), Tensor):
            continue
        if module.weight.shape == weight.shape:
            continue
        if isinstance(module, nn.Conv2d) and weight.ndim == 4:
            module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
        elif isinstance(module, nn.Linear) and weight.ndim == 2:
            module.out_features, module.in_features = weight.shape
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and weight.ndim == 1:
            module.num_features = weight.shape[0]
        elif isinstance(module, nn.LayerNorm) and weight.ndim == 1:
            module.normalized_shape = tuple(weight.shape)
        else:
            continue
        _resize(module, {key: tensors.get(f"{name}.{key}" if name else key) for key in module.state_dict()})


def _resize(module: nn.Module, tensors: Mapping[str, Tensor | None]) -> None:
    for key, tensor in tensors.items():
        own = getattr(module, key)
        if tensor is None or own.shape == tensor.shape:
            continue
        empty = own.new_empty(tensor.shape)
        if isinstance(own, nn.Parameter):
            setattr(module, key, nn.Parameter(empty, requires_grad=own.requires_grad))
        else:
            module.register_buffer(key, empty)

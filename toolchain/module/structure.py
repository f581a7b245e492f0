"""How a compressed model differs from what its builder returns, as data: edits in the header of its weights file.

A structured pruning leaves other shapes, a removed block leaves an identity. With these edits the builder's model
takes the weights again, and no pickle is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from toolchain.errors import malformed
from toolchain.project.toml_file import Section

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SERVED = (*CONVOLUTIONS, *TRANSPOSED, *BATCH_NORMS, nn.Linear, nn.Embedding, nn.GroupNorm, nn.LayerNorm)
"""Modules that take other shapes from a weights file: what may lose channels."""


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


class BakeWeights(Section):
    """A module whose computed tensors, such as a weight under weight normalization, became plain parameters."""

    edit: Literal["baked"] = "baked"
    module: str


Edit = Annotated[
    ToIdentity | ToRelu | AddBias | SetGroups | KeepZeros | FixWeights | LearnedRange | BakeWeights,
    Field(discriminator="edit"),
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
    elif isinstance(edit, AddBias) and isinstance(module, (*CONVOLUTIONS, nn.Linear)) and module.bias is None:
        module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]))
    elif isinstance(edit, SetGroups) and isinstance(module, CONVOLUTIONS):
        module.groups = edit.groups
    elif isinstance(edit, BakeWeights):
        _bake(module)


def is_computed(module: nn.Module) -> bool:
    """Return whether a module computes a tensor from others in every forward: a parametrization, or a hook of old."""
    return parametrize.is_parametrized(module) or any(
        isinstance(hook, _HOOKS) for hook in module._forward_pre_hooks.values()
    )


# How torch did it before parametrizations, and how its pruning still does: hooks that set an attribute.
_REMOVERS: tuple[tuple[type, Callable[[nn.Module, str], object]], ...] = (
    (WeightNorm, remove_weight_norm),
    (SpectralNorm, remove_spectral_norm),
    (BasePruningMethod, prune.remove),
)
_HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)


def _bake(module: nn.Module) -> None:
    """Give the module plain parameters of the values that it computes in evaluation; frozen ones stay frozen."""
    module.eval()  # the estimate of a spectral norm moves in training
    frozen: dict[str, bool] = {}
    if isinstance(lists := getattr(module, "parametrizations", None), nn.ModuleDict):
        for name, computed in list(lists.items()):
            frozen[name] = not any(source.requires_grad for source in computed.parameters())
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for hook in [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _HOOKS)]:
        name = hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name
        sources = [
            source for key, source in module._parameters.items() if key.startswith(f"{name}_") and source is not None
        ]
        frozen[name] = not any(source.requires_grad for source in sources)
        remove = next(remove for kind, remove in _REMOVERS if isinstance(hook, kind))
        remove(module, name)
    # Spectral normalization leaves a hook that asks the weights file for what is gone.
    for key, wrapped in list(module._load_state_dict_pre_hooks.items()):
        if isinstance(getattr(wrapped, "hook", wrapped), SpectralNormLoadStateDictPreHook):
            del module._load_state_dict_pre_hooks[key]
    for name, is_frozen in frozen.items():
        value = getattr(module, name)
        if not isinstance(value, nn.Parameter):  # a buffer, where all that it was computed from is frozen
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value.detach()))
        getattr(module, name).requires_grad_(not is_frozen)


def fit_shapes(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the model's convolutions, linear, embedding and normalization layers the shapes of these tensors, in place.

    Tensors that the model does not have, and layers of other kinds, are left for the loading of weights to refuse.
    """
    for name, module in model.named_modules():
        weight = tensors.get(f"{name}.weight" if name else "weight")
        if weight is None or not isinstance(getattr(module, "weight", None), Tensor):
            continue
        if module.weight.shape == weight.shape or module.weight.ndim != weight.ndim:
            continue
        if _set_sizes(module, weight):
            _resize(module, {key: tensors.get(f"{name}.{key}" if name else key) for key in module.state_dict()})


def _set_sizes(module: nn.Module, weight: Tensor) -> bool:
    """Tell a module how many channels this weight has; return whether it is one that may have others."""
    if isinstance(module, CONVOLUTIONS):
        module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, TRANSPOSED):
        module.in_channels, module.out_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, nn.Embedding) and weight.shape[0] == module.num_embeddings:
        module.embedding_dim = weight.shape[1]
    elif isinstance(module, BATCH_NORMS):
        module.num_features = weight.shape[0]
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = weight.shape[0]
    elif isinstance(module, nn.LayerNorm) and weight.ndim == 1:
        module.normalized_shape = tuple(weight.shape)
    else:
        return False
    return True


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

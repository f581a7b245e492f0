"""How much each channel of a group matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch_pruning import importance as torch_pruning_importance

from toolchain.compress.layers import Weighted
from toolchain.compress.material import Material
from toolchain.compress.outputs import find_device
from toolchain.compress.pruning.channels import ChannelGroup, Member
from toolchain.compress.pruning.dependencies import keep_freeze
from toolchain.compress.sensitivity import run_batches
from toolchain.module.fit import take_target_tensors
from toolchain.module.forward import bind_inputs, name_outputs
from toolchain.module.structure import TRANSPOSED

if TYPE_CHECKING:
    from toolchain.tasks import TargetTensor

Importance = Literal["l1", "l2", "taylor", "hessian", "fpgm", "lamp", "activations"]

# Enough for an order of channels: the published methods use one batch of a few hundred. The hessian, which needs a
# gradient for every sample, takes the first half.
_SAMPLES = 256
_BATCH_SIZE = 64


def score_channels(
    model: nn.Module, groups: Sequence[ChannelGroup], importance: Importance, material: Material
) -> list[Tensor]:
    """Return the importance of each group's channels `(channels,)`, comparable between groups: each mean is 1.

    "l1", "l2": the magnitude of every weight that a channel has, in all layers of its group.
    "taylor": |weight * gradient| (Molchanov et al. 2019, arXiv:1906.10771).
    "hessian": weight² * mean of the samples' squared gradients (optimal brain damage, with Fisher's diagonal).
    "fpgm": the distance of a filter from all others of its layer (He et al. 2019, arXiv:1811.00250).
    "lamp": a magnitude in relation to all that are not smaller in its group (Lee et al. 2021, arXiv:2010.07611).
    "activations": the mean |input| that the readers of a channel see on calibration samples.
    """
    with keep_freeze(model):  # a frozen layer has a gradient here too: it is to be ranked, not to be trained
        if importance == "taylor":
            _fill_gradients(model, material)
        elif importance == "hessian":
            _fill_squared_gradients(model, material)
    if importance == "activations":
        activations = _measure_activations(model, material)
        scores = [_reduce(group, lambda member: _take_activations(member, activations)) for group in groups]
    elif importance == "fpgm":
        scores = [_reduce(group, _measure_distances) for group in groups]
    else:
        score = _SCORES[importance]()
        scores = [score(group.dependencies) for group in groups]
    model.zero_grad(set_to_none=True)
    return [_normalize(values.detach().float().cpu(), keep=importance == "lamp") for values in scores]


# Each with the mean over the layers of a group. LAMP brings a scale of its own.
_SCORES: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "l1": lambda: torch_pruning_importance.GroupMagnitudeImportance(p=1, normalizer=None),
    "l2": lambda: torch_pruning_importance.GroupMagnitudeImportance(p=2, normalizer=None),
    "taylor": lambda: torch_pruning_importance.GroupTaylorImportance(normalizer=None),
    "hessian": lambda: torch_pruning_importance.GroupHessianImportance(normalizer=None),
    "lamp": lambda: torch_pruning_importance.LAMPImportance(p=2),
}


def _normalize(values: Tensor, *, keep: bool) -> Tensor:
    mean = values.mean()
    return values if keep or not mean > 0 else values / mean


def _reduce(group: ChannelGroup, measure: Callable[[Member], Tensor | None]) -> Tensor:
    """Return the mean over the members that have something to say, by channel of the group."""
    total, count = torch.zeros(group.channels), 0
    for member in group.members:
        values = measure(member)
        if values is None:
            continue
        total.index_add_(0, torch.tensor(member.roots), values.float().cpu())
        count += 1
    return total / max(1, count)


def _measure_distances(member: Member) -> Tensor | None:
    """Return the sum of a filter's distances from the others: small for one that the others can stand in for.

    Torch-Pruning 1.6.1 compares the filters' magnitudes squared; the paper compares the filters.
    """
    if not (member.is_output and isinstance(member.module, Weighted)):
        return None
    weight = member.module.weight.detach()
    filters = (weight.transpose(0, 1) if isinstance(member.module, TRANSPOSED) else weight).flatten(1)
    filters = filters[torch.tensor(member.indices)]
    return torch.cdist(filters, filters).sum(dim=1)


def _take_activations(member: Member, activations: dict[nn.Module, Tensor]) -> Tensor | None:
    if member.is_output or not isinstance(member.module, nn.Module) or member.module not in activations:
        return None
    return activations[member.module][torch.tensor(member.indices)]


@torch.no_grad()
def _measure_activations(model: nn.Module, material: Material) -> dict[nn.Module, Tensor]:
    """Return the mean |input| of each channel or feature, by layer, over calibration samples."""
    sums: dict[nn.Module, Tensor] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axis = inputs[0].ndim - 1 if isinstance(module, nn.Linear) else 1
        values = inputs[0].abs().mean(dim=[other for other in range(inputs[0].ndim) if other != axis])
        sums[module] = sums.get(module, torch.zeros_like(values)) + values

    layers = [module for module in model.modules() if isinstance(module, Weighted)]
    handles = [module.register_forward_pre_hook(add) for module in layers]
    try:
        run_batches(model, material.inputs(_SAMPLES))
    finally:
        for handle in handles:
            handle.remove()
    return sums


def _fill_gradients(model: nn.Module, material: Material) -> None:
    """Leave the gradient of the loss over some training samples in the parameters."""
    model.zero_grad(set_to_none=True)
    for batch, count in _take_targeted(model, material, _SAMPLES, batch_size=_BATCH_SIZE):
        (count * material.objective.loss(*batch)).backward()  # type: ignore[no-untyped-call]


def _fill_squared_gradients(model: nn.Module, material: Material) -> None:
    """Leave the mean of the squared gradients of single samples in the parameters' gradients.

    Torch-Pruning's own accumulation (1.6.1) keeps the last sample's alone; its formula takes what is in `.grad`.
    """
    sums = {parameter: torch.zeros_like(parameter) for parameter in model.parameters() if parameter.requires_grad}
    samples = 0
    for batch, count in _take_targeted(model, material, _SAMPLES // 2, batch_size=1):
        samples += count
        model.zero_grad(set_to_none=True)
        material.objective.loss(*batch).backward()  # type: ignore[no-untyped-call]
        for parameter, total in sums.items():
            if parameter.grad is not None:
                total.add_(parameter.grad.square())
    for parameter, total in sums.items():
        parameter.grad = total / max(1, samples)


def _take_targeted(
    model: nn.Module, material: Material, count: int, *, batch_size: int
) -> Iterator[tuple[tuple[dict[str, Tensor], dict[str, TargetTensor]], int]]:
    """Yield the outputs and targets of training samples spread evenly over the set, and how many they are."""
    samples = material.take_training()
    material.check_objective(model, samples)
    device = find_device(model)
    call = bind_inputs(model, list(samples.batch(0, 1)))
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(np.int64))
    model.eval()
    for part in np.array_split(chosen, max(1, len(chosen) // batch_size)):
        arrays = samples.take(part)
        inputs = {name: torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device) for name in call.names}
        outputs = name_outputs(call.run(model, inputs))
        targets = take_target_tensors(samples, material.objective.targets, part, inputs, device=device)
        yield (outputs, targets), len(part)

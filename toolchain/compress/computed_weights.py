"""Weights that are computed anew in every forward, so that what is written to them is lost: made plain ones first."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from toolchain.compress.draft import Draft
from toolchain.compress.equality import run_arrays
from toolchain.compress.layers import WEIGHTED
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs, run_model
from toolchain.errors import usage
from toolchain.graph.parity import check_float_parity
from toolchain.module.structure import BakeWeights, is_computed


def bake_computed_weights(draft: Draft, material: Material, inputs: Inputs) -> None:
    """Give every parametrized module plain weights of the same values, in place, and remember it.

    Weight and spectral normalization, orthogonality, torch's pruning masks and every other registered parametrization
    are gone afterwards; in evaluation the model computes the same.

    Raises ToolchainError: exit 18 where it does not, exit 2 that names a layer whose weight is computed in another way.
    """
    _bake(draft, inputs)
    _refuse_attributes(draft.model, where=material.where)
    _refuse_others(draft.model, inputs, where=material.where)


def _bake(draft: Draft, inputs: Inputs) -> None:
    computed = [name for name, module in draft.model.named_modules() if is_computed(module)]
    if computed:
        before = run_arrays(draft.model, inputs)
        for name in computed:
            draft.edit(BakeWeights(module=name))
        after = run_arrays(draft.model, inputs)
        check_float_parity("making parametrized weights plain ones", [(before, after)])


def _refuse_attributes(model: nn.Module, *, where: str) -> None:
    for name, module in model.named_modules():
        if isinstance(module, WEIGHTED) and not isinstance(module._parameters.get("weight"), nn.Parameter):
            raise usage(
                f"the weight of {name or 'the model'} is computed in every forward: what is written to it would be lost",
                where=where,
                expected="a weight that is a parameter, or one of torch.nn.utils.parametrize",
                found=f"a {type(module).__name__} whose weight is an attribute, set by a hook or a property",
                fix="register it with torch.nn.utils.parametrize.register_parametrization",
            )


def _refuse_others(model: nn.Module, inputs: Inputs, *, where: str) -> None:
    """Refuse a layer with a forward of its own that never gives its weight to a kernel, but something made of it."""
    own = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, WEIGHTED) and not type(module).forward.__module__.startswith("torch.nn.modules.")
    }
    if not own:
        return
    operands = _Operands()
    with operands:
        run_model(model, inputs)
    for name, module in own.items():
        if id(module.weight) not in operands.seen:
            raise usage(
                f"{name or 'the model'} computes with another weight than its own: what is written to it would be lost",
                where=where,
                expected="a forward that gives self.weight to the convolution or product as it is",
                found=f"{type(module).__name__}.forward",
                fix="compute the weight with torch.nn.utils.parametrize.register_parametrization and not in forward",
            )


class _Operands(TorchFunctionMode):
    """Remembers the tensors that convolutions and products are computed with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at a call, and make it."""
        named = kwargs or {}
        if any(word in getattr(func, "__name__", "") for word in _KERNELS):
            self.seen.update(id(value) for value in (*args, *named.values()) if isinstance(value, Tensor))
        return func(*args, **named)


# Parts of the names of torch's functions that multiply by a weight.
_KERNELS = ("conv", "linear", "matmul", "mm", "einsum", "multi_head_attention")

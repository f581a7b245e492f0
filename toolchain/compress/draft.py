"""A model on its way through a recipe's methods, and how it differs from what its builder returns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from toolchain.compress.layers import Weighted
from toolchain.module.structure import AddBias, Edit, FixWeights, KeepZeros, SetGroups, ToIdentity, ToRelu, apply_edit


class Draft:
    """What a method changes: the weights of `model` directly, its modules through `edit`.

    Shapes need no edit: the weights file says them.
    """

    def __init__(self, model: nn.Module, edits: Sequence[Edit] = ()) -> None:
        self.model = model
        self._edits: list[Edit] = list(edits)
        self._notes: list[str] = []

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything that the builder's model needs before it takes these weights."""
        return tuple(self._edits)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must be told."""
        return tuple(self._notes)

    def note(self, text: str) -> None:
        """Tell the user something, also where the result comes from the cache."""
        self._notes.append(text)

    def edit(self, edit: Edit) -> None:
        """Change the model, and remember how; what was said before is not said twice."""
        if edit not in self._edits:
            apply_edit(self.model, edit)
            self._edits.append(edit)

    def keep_zeros(self, module: str) -> None:
        """Let the zeros that this layer has now stay zero through every training that comes."""
        self.edit(KeepZeros(module=module))

    def fix_weights(self, module: str, *, bits: int) -> None:
        """Say that the layer's weights have at most 2^bits values, which no training may move."""
        self.edit(FixWeights(module=module, bits=bits))

    def set_groups(self, module: str, groups: int) -> None:
        """Give a grouped convolution another number of groups; its weight follows."""
        self.edit(SetGroups(module=module, groups=groups))

    def add_bias(self, module: str) -> None:
        """Give a convolution or linear layer a bias of zeros, where it has none."""
        self.edit(AddBias(module=module))

    def remove(self, module: str) -> None:
        """Put an identity in the module's place."""
        self.edit(ToIdentity(module=module))

    def unbound(self, module: str) -> None:
        """Put a plain Relu in the place of a bounded one."""
        self.edit(ToRelu(module=module))

    def list_zero_keepers(self) -> list[str]:
        """Return the layers whose zeros must stay, as far as they are still there."""
        names = [edit.module for edit in self._edits if isinstance(edit, KeepZeros)]
        return [name for name in names if isinstance(find_module(self.model, name), Weighted)]

    def list_fixed(self) -> list[str]:
        """Return the layers whose weights no training may move."""
        return [edit.module for edit in self._edits if isinstance(edit, FixWeights)]


def find_module(model: nn.Module, name: str) -> nn.Module | None:
    """Return the module of this name; None where it is gone, with a removed block for example."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None

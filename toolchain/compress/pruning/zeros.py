"""Keeps the zeros of a pruned layer through a training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from toolchain.module.fit import Hook


class KeepZerosHook(Hook):
    """Sets what is zero now to zero again after every step; the optimizer's momentum may push as it likes."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._masks: list[tuple[Tensor, Tensor]] = []
        for name in layers:
            weight = model.get_parameter(f"{name}.weight")
            self._masks.append((weight, weight.detach() != 0))

    def after_step(self, learning_rate: float) -> None:  # noqa: ARG002 - a hook's signature
        """Apply the masks."""
        for weight, mask in self._masks:
            weight.mul_(mask.to(weight.device))

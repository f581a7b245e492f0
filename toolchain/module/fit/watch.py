"""Watches a training on samples that it does not learn from, and keeps the weights of the epoch that did best there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from toolchain.agent.measure.scale import Scale
from toolchain.data.dataset import TrainingSamples, find_labels
from toolchain.data.subset import Subset

# Of what had been gained. A learning rate that is too high loses more in an epoch; batch statistics and luck lose less.
_FALL_SHARE = 0.25

# Of fewer samples a share says nothing of an epoch, and is missed in the training.
_SAMPLES_MIN = 100


@dataclass(frozen=True)
class Fall:
    """An epoch that lost a good part of what had been gained before it."""

    epoch: int
    """From 1."""
    before: float
    """The best that the metric had been."""
    after: float


class Watch:
    """The best epoch so far; of equal ones the later."""

    def __init__(self, measure: Callable[[nn.Module], float], scale: Scale) -> None:
        """Watch a metric of this scale; measure: what it is of a model, on the samples that are held out."""
        self._measure, self._scale = measure, scale
        self._best: float | None = None
        self._weights: dict[str, Tensor] = {}
        self.epoch = 0
        """The best one, from 1; 0 before the first."""
        self.untrained: float | None = None
        """Of the model as it began."""
        self.latest: float | None = None
        self.fall: Fall | None = None
        """The first one."""

    @property
    def best(self) -> float | None:
        """The metric after the best epoch."""
        return self._best

    @property
    def has_learnt(self) -> bool:
        """Whether any epoch was better than the model as it began."""
        if self._best is None or self.untrained is None:
            return True
        return self._scale.measure_drop(self.untrained, self._best) < 0

    def look(self, model: nn.Module, epoch: int) -> None:
        """Measure a model after an epoch, from 1, or before the first, 0; raises what the metric does."""
        value = self.latest = self._measure(model)
        if epoch == 0:
            self.untrained = value
            return
        self.fall = self.fall or self._find_fall(epoch, value)
        if self._best is None or self._scale.measure_drop(self._best, value) <= 0:
            self._best, self.epoch = value, epoch
            self._weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def _find_fall(self, epoch: int, value: float) -> Fall | None:
        if self._best is None or self.untrained is None:
            return None
        gained = self._scale.measure_drop(self._best, self.untrained)
        lost = self._scale.measure_drop(self._best, value)
        return Fall(epoch, self._best, value) if lost > _FALL_SHARE * gained > 0 else None

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights of the best epoch."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        fall = None if self.fall is None else asdict(self.fall)
        return {
            "best": self._best,
            "epoch": self.epoch,
            "untrained": self.untrained,
            "fall": fall,
            "weights": self._weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self._best, self.epoch, self.untrained = state["best"], state["epoch"], state["untrained"]
        fall = state.get("fall")
        self.fall = None if fall is None else Fall(**fall)
        self._weights = dict(state["weights"])


def hold_out(samples: TrainingSamples, share: float, *, seed: int) -> tuple[TrainingSamples, TrainingSamples | None]:
    """Return what is trained on, and a drawn share that is not, of each class as much; None where it would be too few."""
    count = round(len(samples) * share)
    if count < _SAMPLES_MIN:
        return samples, None
    labels = find_labels(samples)
    order = np.random.default_rng(seed).permutation(len(samples))
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held = np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)])
    kept = np.setdiff1d(np.arange(len(samples)), held)
    return Subset(samples, kept), Subset(samples, held)

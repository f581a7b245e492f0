"""How a model is scored: its outputs as a decoder reads them, and the metric of what came out."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..manifest import MetricSpec
from .checked_decoder import CheckedDecoder
from .checked_metric import CheckedMetric, CheckedTally
from .decoders import find_decoder
from .metrics import Targets, find_metric, list_read_outputs

Arrays = Mapping[str, NDArray[Any]]


class Scoring:
    """A metric with its options, over a model's outputs or over what a decoder makes of them."""

    def __init__(self, name: str, metric: CheckedMetric, decoder: Optional[CheckedDecoder] = None) -> None:
        self.name, self.scale = name, metric.SCALE
        self.targets: Tuple[str, ...] = metric.TARGETS
        """Those that it reads of every sample."""
        self.optional_targets: Tuple[str, ...] = metric.OPTIONAL_TARGETS
        """Those that it reads where there are any."""
        self._metric, self._decoder = metric, decoder

    @property
    def is_decoded(self) -> bool:
        """Whether a decoder stands between the outputs and the metric."""
        return self._decoder is not None

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        """Return those outputs of a model, in its order, that are read; the others are gated by their drift."""
        return list_read_outputs(self._metric, outputs) if self._decoder is None else self._decoder.list_read(outputs)

    def list_targets(self, known: Sequence[str]) -> List[str]:
        """Return the names of the targets to read, of those that there are."""
        return [*self.targets, *(name for name in self.optional_targets if name in known)]

    def decode(self, outputs: Arrays, inputs: Arrays) -> Targets:
        """Return what the metric reads of a batch; raises ToolchainError (exit 23) where it cannot be read."""
        return outputs if self._decoder is None else self._decoder.decode(outputs, inputs)

    def count_classes(self, outputs: Arrays) -> Optional[int]:
        """Return how many classes an answer can be, by the decoder; None where nobody says."""
        return None if self._decoder is None else self._decoder.count_classes(outputs)

    def list_letters(self) -> Optional[str]:
        """Return the letters that texts can have, by the decoder; None where nobody says."""
        return None if self._decoder is None else self._decoder.list_letters()

    def start(self) -> ScoringTally:
        """Return a tally of nothing."""
        return ScoringTally(self._metric.start(), self)


class ScoringTally:
    """What was added so far."""

    def __init__(self, tally: CheckedTally, scoring: Scoring) -> None:
        self.metric, self._scoring = tally, scoring

    def add(self, outputs: Arrays, targets: Targets, inputs: Arrays) -> None:
        """Add a batch; raises ToolchainError (exit 23) where it cannot be read."""
        self.metric.add(self._scoring.decode(outputs, inputs), targets)

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the metric, where sample i counts counts[i] times; None counts each once."""
        return self.metric.compute(counts)


def find_scoring(spec: MetricSpec) -> Optional[Scoring]:
    """Return how a model is scored, None where no metric is; raises ToolchainError (exit 2) for what is unknown."""
    if spec.name is None:
        return None
    decoder = None if spec.decoder is None else find_decoder(spec.decoder.name, spec.decoder.options)
    return Scoring(spec.name, find_metric(spec.name, spec.options or None), decoder)
